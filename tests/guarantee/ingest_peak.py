"""Reads log files in a fresh process and prints how far its memory grew, as JSON."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

from features import ingest


def _peak() -> int:
    told = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in told.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def main() -> None:
    """Read each FORMAT FILE of the arguments; print [growth, events, refusals] each."""
    ingest.FORMATS  # noqa: B018 - everything is imported before memory is measured
    asked = sys.argv[1:]
    for form, path in zip(asked[::2], asked[1::2], strict=True):
        refused = 0

        def refuse(_: ingest.Refusal) -> None:
            nonlocal refused
            refused += 1

        gc.collect()
        _forget_peak()
        before, events = _peak(), 0
        for _ in ingest.read(form, [Path(path)], on_refused=refuse):
            events += 1
        sys.stdout.write(json.dumps([_peak() - before, events, refused]) + "\n")


if __name__ == "__main__":
    main()
