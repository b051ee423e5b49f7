"""Settings are read once, say what is wrong with them, and are told on whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from serving.settings import PREFIX, Settings, SettingsError, workers_of


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with no variable of ours set."""
    for field in Settings.model_fields:
        monkeypatch.delenv(PREFIX + field.upper(), raising=False)


def test_defaults_need_no_environment() -> None:
    """Without a variable the service keeps to this machine, port 3000, one process."""
    settings = Settings.load()
    assert settings.store == Path("var/escalon.db")
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 3000, 1)
    assert settings.model == Path("var/model")
    assert settings.policy is None
    assert settings.url == "http://127.0.0.1:3000"


def test_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables with the prefix set the fields; an argument goes before them."""
    monkeypatch.setenv("ESCALATION_PORT", "8123")
    monkeypatch.setenv("ESCALATION_CONSOLE", "off")
    monkeypatch.setenv("ESCALATION_HOSTS", "escalon.example, escalon")
    monkeypatch.setenv("ESCALATION_MODEL", "")
    settings = Settings.load(host="::1")
    assert settings.port == 8123
    assert settings.console is False
    assert settings.hosts == ("escalon.example", "escalon")
    assert settings.model == Path("var/model")
    assert settings.url == "http://[::1]:8123"


def test_settings_are_frozen() -> None:
    """What was read cannot be changed."""
    settings = Settings.load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


def test_environment_carries_settings_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that settings give make the same settings in another process."""
    given = Settings.load(
        store="here/store.db",
        port=4001,
        hosts=("a", "b"),
        console=False,
        secret="s" * 20,
    )
    for name, value in given.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == given


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PORT", "0", "ESCALATION_PORT='0'"),
        ("PORT", "http", "ESCALATION_PORT='http'"),
        ("HOST", "example.com", "expected an IP address such as 127.0.0.1"),
        ("WORKERS", "4", "ESCALATION_WORKERS is 4, but the embedded SQLite store"),
        ("SECRET", "short", "ESCALATION_SECRET has fewer than 16 characters"),
    ],
)
def test_bad_value_is_named(
    variable: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that cannot be used is refused with its variable and what to do."""
    monkeypatch.setenv(PREFIX + variable, value)
    with pytest.raises(SettingsError, match=re.escape(says)):
        Settings.load()


def test_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings as text nor a refusal shows the secret."""
    monkeypatch.setenv("ESCALATION_SECRET", "tooshort")
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    assert "tooshort" not in str(refused.value)
    assert "x" * 20 not in repr(Settings.load(secret="x" * 20))


def test_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    """Without a secret one is made beside the store, for its owner's eyes alone."""
    settings = Settings.load(store=tmp_path / "deep" / "store.db")
    first = settings.key()
    kept = tmp_path / "deep" / "store.db.secret"
    assert len(first) == 32
    assert kept.stat().st_mode & 0o777 == 0o600
    assert Settings.load(store=tmp_path / "deep" / "store.db").key() == first
    assert Settings.load(store=tmp_path / "other.db").key() != first
    assert {path.name for path in kept.parent.iterdir()} == {"store.db.secret"}


def test_given_secret_is_used(tmp_path: Path) -> None:
    """A secret that was given makes the key, and no file."""
    one = Settings.load(store=tmp_path / "a.db", secret="s" * 20)
    two = Settings.load(store=tmp_path / "b.db", secret="s" * 20)
    assert one.key() == two.key()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "hosts", "known"),
    [
        ("127.0.0.1", (), {"localhost", "127.0.0.1", "[::1]"}),
        ("127.0.0.9", (), {"localhost", "127.0.0.1", "[::1]", "127.0.0.9"}),
        ("10.0.0.5", (), set()),
        ("10.0.0.5", ("escalon.example",), {"escalon.example"}),
    ],
)
def test_loopback_knows_its_names(
    host: str, hosts: tuple[str, ...], known: set[str]
) -> None:
    """On loopback only names of this machine are answered; elsewhere any, or those set."""
    assert Settings.load(host=host, hosts=hosts).known_hosts == known


# --- a store of several hosts ------------------------------------------------

ADDRESS = "postgresql://ana:pass@db.example/escalon?sslmode=require"
SHARED = "a secret that all replicas share"


def test_a_database_may_serve_several_processes() -> None:
    """An address is taken as such, and passed on whole; its password is not shown."""
    settings = Settings.load(store=ADDRESS, secret=SHARED, workers=3)
    assert str(settings.store) == "postgresql://ana@db.example/escalon"
    assert "pass" not in repr(settings)
    passed = settings.environment()
    assert (passed["ESCALATION_STORE"], workers_of(passed)) == (ADDRESS, 3)


def test_processes_that_share_a_store_share_a_secret() -> None:
    """None is made up where each process would make its own."""
    with pytest.raises(SettingsError, match="ESCALATION_SECRET is not set"):
        Settings.load(store=ADDRESS)


def test_a_file_has_one_writer() -> None:
    """More processes on a file are refused, with what to do."""
    with pytest.raises(SettingsError, match="postgresql:// address"):
        Settings.load(workers=2)


def test_an_address_of_something_else_is_refused_without_its_password() -> None:
    """What cannot be used is named, the password never."""
    with pytest.raises(SettingsError, match="expected an address such as") as error:
        Settings.load(store="mysql://ana:hidden@db/escalon")
    assert "hidden" not in str(error.value)
