"""Forgetting: what is kept for a time only goes when that is over."""

from __future__ import annotations

from serving.engine.ways import Ways
from serving.store import idempotency

_AT_ONCE = 500


class Forgetting:
    """Deletes what calls were answered under keys, once those have expired.

    Parameters
    ----------
    ways : Ways
        The engine's.
    """

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    def run(self) -> int:
        """Delete all that is over, a little at a time; return how many answers.

        Raises
        ------
        StoreError
            If the store failed; what went before is gone.
        """
        at, total = self._ways.clock(), 0
        while True:
            gone = self._ways.do(lambda tx: idempotency.sweep(tx, at, limit=_AT_ONCE))
            total += gone
            if gone < _AT_ONCE:
                return total
