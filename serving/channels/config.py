"""Config: the channels of a deployment, from a YAML file, checked as a whole.

pager:
  kind: webhook
  url: https://hooks.example.com/escalon
  secret_env: PAGER_SECRET        # or `secret`; two of either while one replaces the
  fallback: tray                  # other
tray:
  kind: file
  path: var/handoffs.jsonl
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

import httpx
import yaml
from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from serving.channels.channel import Channel
from serving.channels.envelope import MOST_PACKAGE_BYTES
from serving.channels.file import FileChannel
from serving.channels.signing import SecretError, key_of
from serving.channels.webhook import Webhook
from serving.policy import yaml12
from serving.policy.part import Name, Part, Words
from serving.policy.rules import Policy

Clock = Callable[[], datetime]
_FEWEST_BYTES = 4_096
_MOST_BYTES = 16_777_216


class ChannelsError(ValueError):
    """Channels that cannot be used; the message lists every fault.

    Attributes
    ----------
    faults : tuple of str
        One sentence each: where, what was expected and found, what to do.
    """

    def __init__(self, found: Iterable[str]) -> None:
        self.faults = tuple(found)
        listed = "".join(f"\n- {fault}" for fault in self.faults)
        n = len(self.faults)
        super().__init__(f"channels refused, {n} fault{'s' * (n != 1)}:{listed}")


def _one_or_two(value: object) -> object:
    return [value] if isinstance(value, str) else value


class _Kind(Part):
    """What every kind of channel is told.

    Attributes
    ----------
    fallback : str, optional
        The channel that is told in place of this one when it does not answer.
    package_bytes : int
        Most of a package that is sent; of a larger one the rest is named and hashed.
    """

    fallback: Name | None = None
    package_bytes: Annotated[int, Field(ge=_FEWEST_BYTES, le=_MOST_BYTES)] = (
        MOST_PACKAGE_BYTES
    )


class FileConfig(_Kind):
    """Lines appended to a file."""

    kind: Literal["file"]
    path: Path

    def made(self, clock: Clock) -> Channel:
        """Return the channel."""
        del clock
        return FileChannel(self.path)


class WebhookConfig(_Kind):
    """Signed POSTs to an address.

    Attributes
    ----------
    secret, secret_env : list of str
        Secrets as Standard Webhooks writes them, or the variables that hold them: one,
        or two while one replaces the other.
    allow_private : bool
        Whether the address may lie in a network of one's own; then http will do.
    """

    kind: Literal["webhook"]
    url: Words
    secret: Annotated[tuple[SecretStr, ...], BeforeValidator(_one_or_two)] = ()
    secret_env: Annotated[tuple[Words, ...], BeforeValidator(_one_or_two)] = ()
    allow_private: bool = False

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        try:
            url = httpx.URL(value)
        except httpx.InvalidURL:
            url = httpx.URL()
        if url.scheme not in {"http", "https"} or not url.host:
            msg = "expected an address like https://hooks.example.com/escalon"
            raise ValueError(msg)
        if url.userinfo or url.fragment:
            msg = "expected no user, password or fragment in the address; take it out"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if httpx.URL(self.url).scheme != "https" and not self.allow_private:
            msg = (
                "`url` is not https, so anybody on the way could read it; use https, "
                "or write `allow_private: true` for an address inside"
            )
            raise ValueError(msg)
        n = len(self.secret) + len(self.secret_env)
        if n not in {1, 2}:
            msg = f"expected one secret, or two while one replaces the other, found {n}"
            raise ValueError(msg)
        self.keys()
        return self

    def keys(self) -> tuple[bytes, ...]:
        """Return the keys to sign with.

        Raises
        ------
        ValueError
            If a variable is not set, or a secret is none.
        """
        missing = [name for name in self.secret_env if not os.environ.get(name)]
        if missing:
            msg = f"the variable {missing[0]} is not set; set it to the secret"
            raise ValueError(msg)
        named = [os.environ[name] for name in self.secret_env]
        given = [secret.get_secret_value() for secret in self.secret]
        try:
            return tuple(key_of(secret.strip()) for secret in (*given, *named))
        except SecretError as error:
            raise ValueError(str(error)) from None

    def made(self, clock: Clock) -> Channel:
        """Return the channel."""
        return Webhook(self.url, self.keys(), clock, allow_private=self.allow_private)


Config = Annotated[FileConfig | WebhookConfig, Field(discriminator="kind")]
_DOCUMENT: TypeAdapter[dict[str, FileConfig | WebhookConfig]] = TypeAdapter(
    dict[Name, Config]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """The channels of a deployment, by name.

    Attributes
    ----------
    configs : Mapping
        What is known of each.
    public_url : str
        Where people and systems reach the service; empty: no links are sent.
    """

    configs: Mapping[str, FileConfig | WebhookConfig] = field(default_factory=dict)
    public_url: str = ""

    @classmethod
    def parse(cls, text: str, *, public_url: str = "") -> Self:
        """Return the channels that the YAML document `text` names.

        Raises
        ------
        ChannelsError
            If they cannot be used; lists every fault and what to do about it.
        """
        try:
            document = yaml12.read(text)
        except yaml.YAMLError as error:
            raise ChannelsError((f"not YAML: {error}",)) from error
        try:
            configs = _DOCUMENT.validate_python({} if document is None else document)
        except ValidationError as error:
            raise ChannelsError(_faults(error)) from None
        missing = tuple(_missing_fallbacks(configs))
        if missing:
            raise ChannelsError(missing)
        return cls(configs=configs, public_url=public_url)

    @classmethod
    def load(cls, path: Path | None, *, public_url: str = "") -> Self:
        """Return the channels in the file at `path`; none where there is no path.

        Raises
        ------
        ChannelsError
            As `parse`, or if the file cannot be read.
        """
        if path is None:
            return cls(public_url=public_url)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ChannelsError((f"{path} cannot be read: {error}",)) from error
        return cls.parse(text, public_url=public_url)

    @property
    def routes(self) -> dict[str, str | None]:
        """Each channel, with the one told in its place."""
        return {name: config.fallback for name, config in self.configs.items()}

    def check(self, policy: Policy) -> None:
        """Return if every channel that a queue of `policy` notifies is here.

        Raises
        ------
        ChannelsError
            If one is not.
        """
        known = ", ".join(sorted(self.configs)) or "none"
        missing = [
            f"queue {queue.name!r} of the policy notifies {name!r}, and the channels "
            f"here are: {known}; define it in the file of ESCALATION_CHANNELS, or take "
            "it out of the queue's `notify`"
            for queue in policy.queues
            for name in queue.notify
            if name not in self.configs
        ]
        if missing:
            raise ChannelsError(missing)


def _faults(error: ValidationError) -> Iterator[str]:
    """Yield a sentence for each of Pydantic's faults; never with a secret in it."""
    for fault in error.errors(include_url=False, include_input=False):
        where = ".".join(str(step) for step in fault["loc"]) or "the document"
        match fault["type"]:
            case "missing":
                yield f"{where} is missing; add it"
            case "extra_forbidden":
                yield f"{where} is no key of this kind of channel; take it out"
            case _:
                yield f"{where}: {fault['msg'].removeprefix('Value error, ')}"


def _missing_fallbacks(
    configs: Mapping[str, FileConfig | WebhookConfig],
) -> Iterator[str]:
    for name, config in configs.items():
        if config.fallback == name:
            yield f"{name}.fallback: a channel cannot stand in for itself; name another"
        elif config.fallback is not None and config.fallback not in configs:
            known = ", ".join(sorted(configs))
            yield f"{name}.fallback: expected one of {known}, found {config.fallback!r}"
