"""The fault runs of the benchmarks are found like modules, and both stores are here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

_BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
# At the end: a benchmark is called like a package of ours.
if _BENCHMARKS not in sys.path:
    sys.path.append(_BENCHMARKS)


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return a kind of store, and the server it lies on; skip where there is none."""
    kind: str = request.param
    on_server = kind == "postgresql"
    return kind, request.getfixturevalue("postgres_address") if on_server else ""
