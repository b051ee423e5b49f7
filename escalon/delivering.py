"""`escalon worker | channels | deliveries`: telling outside systems of handoffs."""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import typer
from rich.markup import escape

from escalon.operating import MISTAKES
from escalon.terminal import fail, mistakes, out, print_json, print_pairs
from serving.channels.channel import Message
from serving.channels.config import Channels, ChannelsError
from serving.policy.audit import rfc3339
from serving.policy.delivery import Delivery, Ending
from serving.policy.rules import Policy, PolicyError
from serving.settings import Settings, SettingsError
from serving.store import outbox
from serving.store.opening import reading
from serving.store.tasks import new_id
from serving.store.transaction import StoreError
from serving.where import Where
from serving.working import work

_COLORS = {"pending": "yellow", "done": "green", "dead": "bold red"}
_TIMEOUT = 30


def worker(**given: object) -> None:
    """Do what has to happen without anybody calling, until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with mistakes(*MISTAKES):
        known = {name: value for name, value in given.items() if value is not None}
        settings = Settings.load(**known)
        out.print(f"working on {settings.store}; Ctrl-C or SIGTERM ends it")
        work(settings)


# --- channels ------------------------------------------------------------------------


def check(document: Path, *, policy: Path | None) -> None:
    """Say whether the channels may go live under a policy."""
    with mistakes(ChannelsError, PolicyError):
        found = Channels.load(document)
        found.check(Policy.default() if policy is None else Policy.load(policy))
    rows = [
        (name, f"{config.kind}, in its place: {config.fallback or 'none'}")
        for name, config in found.configs.items()
    ]
    print_pairs(f"{document} may go live", rows)


def test(document: Path, name: str) -> None:
    """Send a message that says it is a test; exit code 1 unless it was taken."""
    with mistakes(ChannelsError):
        found = Channels.load(document)
    if name not in found.configs:
        known = ", ".join(found.configs) or "none"
        msg = f"expected one of {known}, found {name!r}"
        raise fail(msg)
    with closing(found.configs[name].made(lambda: datetime.now(UTC))) as channel:
        attempt = channel.send(_test_message())
    if attempt.ending is not Ending.TOLD:
        out.print(
            f"[bold red]{name} did not take it:[/] {attempt.ending}, "
            f"{escape(attempt.fault)}"
        )
        raise typer.Exit(1)
    out.print(f"{name} took it, and calls it {escape(attempt.remote_id or 'nothing')}")


def _test_message() -> Message:
    message_id, now = new_id("out"), rfc3339(datetime.now(UTC))
    event = {
        "specversion": "1.0",
        "id": message_id,
        "source": "urn:escalon",
        "type": "escalon.test.v1",
        "time": now,
        "timestamp": now,
        "datacontenttype": "application/json",
        "data": {"what": "test", "says": "Escalon reaches you. Nothing happened."},
    }
    return Message(message_id=message_id, body=orjson.dumps(event))


# --- deliveries ----------------------------------------------------------------------


def show(store: Where, *, status: str | None, limit: int, as_json: bool) -> None:
    """Print deliveries of a store, the newest first."""
    with mistakes(StoreError), reading(store) as reader:
        found = list(
            outbox.listed(
                reader,
                status=status,
                channel=None,
                handoff_id=None,
                limit=limit,
                offset=0,
            )
        )
    if as_json:
        print_json({"deliveries": [delivery.to_json() for delivery in found]})
        return
    for delivery in found:
        _print(delivery)
    if not found:
        out.print("no delivery")


def _print(delivery: Delivery) -> None:
    color = _COLORS[str(delivery.status)]
    out.print(
        f"[{color}]{delivery.status}[/]  {delivery.outbox_id}  {delivery.kind} to "
        f"{escape(delivery.channel)}, {delivery.attempts} attempts"
        f"{', last ' + escape(delivery.last_error) if delivery.last_error else ''}"
    )


def redrive(outbox_id: str, *, by: str, url: str | None) -> None:
    """Have a service send a dead letter again."""
    with mistakes(SettingsError):
        base = Settings.load().url if url is None else url.rstrip("/")
    if not base.startswith(("http://", "https://")):
        msg = f"expected --url to be like http://127.0.0.1:3000, found {base!r}"
        raise fail(msg)
    path = f"/v1/deliveries/{quote(outbox_id, safe='')}/redrive"
    item = _posted(base + path, {"by": by})
    out.print(f"{item['outbox_id']} is sent again, {item['kind']} to {item['channel']}")


def _posted(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        url,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        raise fail(_detail(said)) from error
    except OSError as error:
        msg = f"no service answers at {url}: {error}; start it, or give --url"
        raise fail(msg) from error


def _detail(said: str) -> str:
    try:
        return str(json.loads(said)["detail"])
    except (ValueError, KeyError, TypeError):
        return said
