"""How much memory a process and all it starts take together."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path

_EVERY = 0.05  # s between two looks


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return found


def _share(pid: int) -> float:
    """Return what a process takes, MiB: pages that n processes share count 1/n."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1]) / 1024
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return float(line.split()[1]) / 1024
    return 0.0


def _together(pid: int) -> float:
    return _share(pid) + sum(map(_together, _children(pid)))


def peak_mib(process: subprocess.Popen[bytes]) -> float:
    """Return the most that `process` and its descendants took until it ended, MiB.

    Raises
    ------
    subprocess.CalledProcessError
        If it failed: its peak would say nothing.
    """
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _together(process.pid))
        time.sleep(_EVERY)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return peak
