"""Settings: where the service listens and keeps things, from `ESCALATION_*`."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from serving.where import PostgresAddress, Where, where_of

PREFIX = "ESCALATION_"
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_SHORTEST_SECRET = 16


class SettingsError(ValueError):
    """Settings that cannot be used; the message names variable, value and remedy."""


def _address(host: str) -> str:
    """Return `host` as an IP address, which is what the server can listen on."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        msg = "expected an IP address such as 127.0.0.1, or localhost"
        raise ValueError(msg) from None


def _web_address(url: str | None) -> str | None:
    """Return `url` if it is one that can be called."""
    if url is not None and not url.startswith(("http://", "https://")):
        msg = "expected an address such as https://watch.example.com/beat"
        raise ValueError(msg)
    return url


def _names(value: object) -> object:
    """Return a text of names between commas as a list of them."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return value


def _place(value: object) -> object:
    """Return the place of a store that a text names."""
    return where_of(value) if isinstance(value, str) else value


class Settings(BaseSettings):
    """Everything the service takes from its environment, read once and frozen.

    The policy is not here: it is a versioned document with an owner and an audit
    trail, and `policy` only says where it lies. Call `load` rather than the
    constructor, so that a mistake reads as one sentence.

    Attributes
    ----------
    store : Path or PostgresAddress
        SQLite file, whose directory is made when the service starts; or the address of
        a PostgreSQL database, for several processes and hosts.
    home : Path or None
        Directory of what is kept in files beside the store: its log, scratch, and a
        secret that was made. None: that of the file; ``var`` with PostgreSQL.
    model : Path
        Directory of a model bundle, where `escalon promote` puts it. While no bundle
        there loads, rules decide; `/readyz` says so.
    policy : Path or None
        Policy document; None is the one shipped in the package.
    host, port
        Where to listen. Calls carry no keys yet, so only this machine may call unless
        `host` says otherwise.
    hosts : tuple of str
        Names by which callers may address the service (the Host header, without the
        port); commas between them in the variable. Empty: the names of this machine
        while listening on loopback, any name otherwise.
    secret : SecretStr
        Key of signed sessions and of the audit draw. Empty: made once and kept beside
        the store, readable by the owner only. With PostgreSQL it must be given: all
        processes of a deployment share it.
    console : bool
        Whether the pages for people are served under ``/console``.
    monitor_seconds : float
        Time between two looks of the monitors, in s; 0: they do not run here
        (``escalon monitor`` still can).
    monitor_maturity_days : float
        How long after its last decision the labels of a task are waited for, in days,
        before monitors count it.
    action_token_seconds : int
        For how long an action token of an agent holds, in s.
    heartbeat_url : str or None
        Called after each minute in which the auditor found that all is well, so that a
        watch elsewhere hears when it is not, or when nobody is there to find it.
    channels : Path or None
        File that names the channels which queues of the policy notify. None: there
        are none beside the console.
    public_url : str or None
        Where people and other systems reach this service; for links in what channels
        are told.
    worker : str
        ``"inside"``: what must happen without anybody calling happens in this process;
        ``"none"``: in others, see `escalon worker`.
    workers : int
        Processes that serve. A SQLite file has one writer, so there it is 1.
    attachments : Path or None
        Directory of the files that events name; hosts that share a store share it.
        None: beside a SQLite file; with PostgreSQL none are kept.
    max_body_bytes, max_events, max_export_bytes, max_attachment_bytes
        Limits of one call; the answer names the one that was passed.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True
    )

    store: Annotated[Where, NoDecode, BeforeValidator(_place)] = Path("var/escalon.db")
    home: Path | None = None
    model: Path = Path("var/model")
    policy: Path | None = None
    host: Annotated[str, AfterValidator(_address)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 3000
    hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    secret: SecretStr = SecretStr("")
    console: bool = True
    monitor_seconds: Annotated[float, Field(ge=0)] = 300.0
    monitor_maturity_days: Annotated[float, Field(ge=0, le=365)] = 7.0
    action_token_seconds: Annotated[int, Field(ge=1, le=10)] = 10
    heartbeat_url: Annotated[str | None, AfterValidator(_web_address)] = None
    channels: Path | None = None
    public_url: Annotated[str | None, AfterValidator(_web_address)] = None
    worker: Literal["inside", "none"] = "inside"
    workers: Annotated[int, Field(ge=1)] = 1
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1_048_576
    max_events: Annotated[int, Field(ge=1)] = 1_000
    max_export_bytes: Annotated[int, Field(ge=1024)] = 16_777_216
    max_attachment_bytes: Annotated[int, Field(ge=1024)] = 26_214_400
    attachments: Path | None = None

    @model_validator(mode="after")
    def _is_servable(self) -> Self:
        is_shared = isinstance(self.store, PostgresAddress)
        if self.workers != 1 and not is_shared:
            msg = (
                f"{PREFIX}WORKERS is {self.workers}, but the embedded SQLite store has "
                f"one writer; set it to 1, or {PREFIX}STORE to a postgresql:// address"
            )
            raise ValueError(msg)
        if is_shared and not self.secret.get_secret_value():
            msg = (
                f"{PREFIX}SECRET is not set, but every process that shares the store "
                f"must have the same; set it to {_SHORTEST_SECRET} characters or more"
            )
            raise ValueError(msg)
        if 0 < len(self.secret.get_secret_value()) < _SHORTEST_SECRET:
            msg = (
                f"{PREFIX}SECRET has fewer than {_SHORTEST_SECRET} characters; use a "
                "longer one, or none, and one is made"
            )
            raise ValueError(msg)
        return self

    @classmethod
    def load(cls, **given: object) -> Self:
        """Return the settings of the environment, with `given` on top.

        Raises
        ------
        SettingsError
            If a value cannot be used; names the variable and what was expected.
        """
        try:
            return cls(**given)  # type: ignore[arg-type]
        except ValidationError as error:
            raise SettingsError(_one_sentence(error)) from None

    @property
    def directory(self) -> Path:
        """Where what is kept in files lies, see `home`."""
        if self.home is not None:
            return self.home
        return self.store.parent if isinstance(self.store, Path) else Path("var")

    @property
    def name(self) -> str:
        """What the files that belong to the store begin with."""
        return self.store.name if isinstance(self.store, Path) else "escalon"

    def beside(self, ending: str) -> Path:
        """Return the place of a file that belongs to the store."""
        return self.directory / f"{self.name}.{ending}"

    @property
    def files(self) -> Path | None:
        """The directory of the files that events name; None: none are kept."""
        if self.attachments is not None or isinstance(self.store, PostgresAddress):
            return self.attachments
        return self.store.with_name(self.store.name + ".attachments")

    @property
    def url(self) -> str:
        """The address to open on this machine."""
        open_to_all = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
        host = open_to_all.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def known_hosts(self) -> frozenset[str]:
        """Names the Host header may carry, without port; empty means any."""
        if self.hosts:
            return frozenset(self.hosts)
        if ipaddress.ip_address(self.host).is_loopback:
            return frozenset({*_LOOPBACK_NAMES, self.host})
        return frozenset()

    def environment(self) -> dict[str, str]:
        """Return the variables from which `load` reads these settings again."""
        values: dict[str, object] = self.model_dump(exclude_none=True)
        values["secret"] = self.secret.get_secret_value()
        if isinstance(self.store, PostgresAddress):
            values["store"] = self.store.url
        return {
            PREFIX + name.upper(): _as_variable(value) for name, value in values.items()
        }

    def key(self) -> bytes:
        """Return the 32-byte key that sessions are signed with.

        Makes and keeps one where no secret was given: beside the store, mode 600.
        """
        secret = self.secret.get_secret_value()
        if not secret:
            secret = _kept_secret(self.beside("secret"))
        return hashlib.sha256(secret.encode()).digest()


def workers_of(environment: Mapping[str, str]) -> int:
    """Return how many processes `environment` asks for; one where it does not say.

    BentoML wants the number when the service is defined, before any settings are
    loaded: what is wrong with it is said by whoever loads them.
    """
    said = environment.get(f"{PREFIX}WORKERS", "").strip()
    return max(1, int(said)) if said.isdecimal() else 1


def _as_variable(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def _kept_secret(path: Path) -> str:
    """Return the secret in `path`; the first to ask makes it, whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(32), encoding="utf-8")
        # A link fails where another process was first; then its secret is the one.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text(encoding="utf-8").strip()


def _one_sentence(error: ValidationError) -> str:
    """Return pydantic's list of faults as one line, each with its variable."""
    faults = []
    for fault in error.errors(include_url=False):
        name = ".".join(str(part) for part in fault["loc"])
        where = f"{PREFIX}{name.upper()}={_shown(fault['input'])}: " if name else ""
        faults.append(where + fault["msg"].removeprefix("Value error, "))
    return "; ".join(faults)


def _shown(value: object) -> str:
    """Return `value` as it may be shown: an address may hold a password."""
    scheme, mark, _ = str(value).partition("://")
    is_secret = mark and "@" in str(value)
    return f"'{scheme}://…'" if is_secret else repr(value)
