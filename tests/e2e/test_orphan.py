"""A service whose supervisor was killed gives up its port and its store."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from serving.server import start
from serving.settings import Settings, SettingsError
from serving.store.transaction import StoreError

pytestmark = pytest.mark.slow

PATIENCE = 30.0


def test_a_killed_supervisor_leaves_nobody_behind(
    tmp_path: Path, another_port: int
) -> None:
    """Its process ends by itself, and the service can be started again."""
    settings = Settings.load(
        store=tmp_path / "store.db", model=tmp_path / "none", port=another_port
    )
    first = start(settings)
    os.kill(first.process.pid, signal.SIGKILL)
    first.wait()
    until = time.monotonic() + PATIENCE
    while True:
        try:
            second = start(settings)
            break
        except (StoreError, SettingsError):
            assert time.monotonic() < until
            time.sleep(0.2)
    second.stop()
