"""What every test shares: hypothesis without deadlines, and where real data lie."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import settings

# Machines are shared and noisy: a slow example is not a wrong one. In CI the examples
# follow from the code alone, so that a red run is red again; elsewhere they are new ones.
settings.register_profile(
    "escalon",
    deadline=None,
    print_blob=True,
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("escalon")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real runs, or skip saying that it is not here."""
    root = Path(os.environ.get("ESCALON_SHARED", "../shared")) / "data"
    if not root.is_dir():
        pytest.skip(f"no real data at {root}; set ESCALON_SHARED to where they lie")
    return root


def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def free_port() -> int:
    """Return a port of the loopback interface on which nobody listens."""
    return _unused_port()


@pytest.fixture
def another_port() -> int:
    """Return a port for a second server beside the one on `free_port`."""
    return _unused_port()
