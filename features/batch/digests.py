"""What a task's signals are computed from, in 16 bytes: to tell what has changed."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.batch.table import numbers
from features.past import Cells, Column

SIZE = 16  # bytes
_TEXTS = ("event_id", "kind")
# An odd number whose bits look drawn (2**64 over the golden ratio): spreads each column
# over all bits of a row's word, whatever its values have in common.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_FOLD = np.uint64(29)


def task_digests(
    sources: dict[str, Column],
    head: pa.Table,
    lengths: NDArray[np.int64],
    rows: Cells,
) -> list[bytes]:
    """Return the digest of each task: of its events, their times and their sources.

    Parameters are those of `columnar.signals_of`. Tells change, not forgery: whoever
    writes the table can write any number anyway.
    """
    words: NDArray[np.uint64] = np.zeros(
        max(map(len, sources.values())), dtype=np.uint64
    )
    for column in sources.values():
        _mix(words, column)
    words = words[rows]
    texts = [_spans(head[name].combine_chunks()) for name in _TEXTS]
    _mix(words, numbers(head["at"].cast(pa.int64())))
    for _, offsets in texts:
        _mix(words, np.diff(offsets))
    edges = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    found = []
    for begin, end in pairwise(edges):
        digest = hashlib.blake2b(words[begin:end].tobytes(), digest_size=SIZE)
        for data, offsets in texts:
            digest.update(data[offsets[begin] : offsets[end]])
        found.append(digest.digest())
    return found


def _mix(words: NDArray[np.uint64], column: NDArray[np.generic]) -> None:
    """Mix a column into the words of its rows, in place."""
    wide = column if column.dtype.kind == "f" else column.astype(np.int64)
    words ^= wide.view(np.uint64)
    words *= _SPREAD
    words ^= words >> _FOLD


def _spans(texts: pa.Array) -> tuple[memoryview, NDArray[np.int32]]:
    """Return the bytes of a string column and where each string begins and ends."""
    _, offsets, data = texts.buffers()
    edges = np.frombuffer(offsets, dtype=np.int32)
    edges = edges[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(data or b""), edges
