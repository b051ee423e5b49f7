"""Importing this puts our packages before the benchmarks of the same name."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = str(Path(__file__).parent)
if sys.path[0] == _HERE:
    sys.path.append(sys.path.pop(0))
