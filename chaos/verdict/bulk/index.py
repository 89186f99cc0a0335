"""Gives 64-bit ids small numbers, and finds them again for millions of rows at a time."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
_SPARSE: Final = 8
"""A table with a place for each value of the range is used while it has at most this many places an id."""
_ROOM: Final = 4
"""Places an id in a table by hash."""
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)


class Index:
    """The ids of one kind. The number of an id is its place among the sorted ids."""

    def __init__(self, ids: Ints) -> None:
        """`ids`: distinct and sorted."""
        self.ids = ids
        self._low = int(ids[0]) if len(ids) else 0
        span = int(ids[-1]) - self._low + 1 if len(ids) else 0
        self._dense = span <= _SPARSE * len(ids) + 1024
        if self._dense:
            self._table = np.full(span + 1, -1, np.int64)  # the last place is for what is out of the range
            self._table[ids - self._low] = np.arange(len(ids))
        else:
            self._fill()

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, values: Ints) -> Ints:
        """Return the number of each value; -1 for one that is no id."""
        if self._dense:
            beyond = (values - np.int64(self._low)).view(np.uint64)  # wraps around for values out of the range
            return self._table[np.minimum(beyond, np.uint64(len(self._table) - 1)).view(np.int64)]
        places = self._hash(values)
        found = self._table[places]
        open_ = np.flatnonzero((found >= 0) & (self.ids[found] != values))
        while len(open_):
            places[open_] = (places[open_] + 1) & self._mask
            found[open_] = self._table[places[open_]]
            seen = found[open_]
            open_ = open_[(seen >= 0) & (self.ids[seen] != values[open_])]
        return found

    def _fill(self) -> None:
        bits = max(1, int(_ROOM * len(self.ids)).bit_length())
        self._shift, self._mask = np.uint64(64 - bits), (1 << bits) - 1
        self._table = np.full(1 << bits, -1, np.int64)
        left, places = np.arange(len(self.ids)), self._hash(self.ids)
        while len(left):
            free = self._table[places] < 0
            self._table[places[free]] = left[free]
            homeless = self._table[places] != left
            left, places = left[homeless], (places[homeless] + 1) & self._mask

    def _hash(self, values: Ints) -> Ints:
        return ((values.view(np.uint64) * _FACTOR) >> self._shift).view(np.int64)
