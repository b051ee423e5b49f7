"""`escalon demo` as a newcomer runs it."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def demo(cwd: Path, *words: str) -> str:
    """Run the demo once in an empty folder, and return what it printed."""
    command = [sys.executable, "-m", "escalon", "demo", "--once", *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_ends_with_cases_in_the_queue(tmp_path: Path, free_port: int) -> None:
    """From nothing, one command leaves a model, a certificate and waiting cases."""
    said = demo(tmp_path, "--tasks", "600", "--port", str(free_port))
    for promised in ("models:/escalon/1", "certificate", "waiting in queues", "ms p99"):
        assert promised in said
    assert "nobody" not in said
    assert (tmp_path / "mlruns" / "mlflow.db").exists()


def test_the_demo_learns_from_real_logs(
    tmp_path: Path, free_port: int, shared_data: Path
) -> None:
    """With real runs it ingests, trains, certifies or says why not, and plays them."""
    few = tmp_path / "runs.jsonl.gz"
    with gzip.open(shared_data / "tau_runs.jsonl.gz", "rt") as source:
        lines = [next(source) for _ in range(500)]
    with gzip.open(few, "wt") as target:
        target.writelines(lines)
    said = demo(tmp_path, "--data", os.fspath(few), "--port", str(free_port))
    assert "500 labelled" in said
    assert "handed over" in said
