"""The position up to which a follower is done, while it finishes records out of order. Pure."""

from __future__ import annotations

import heapq


class Floor:
    """One partition: everything up to `value` is finished, so the log may be committed up to there.

    A record with open work is held, once for each piece of work. Holds may be released in any order.
    """

    def __init__(self, start: int = 0) -> None:
        self._read_to = start
        self._held: dict[int, int] = {}
        self._lowest: list[int] = []

    def hold(self, offset: int) -> None:
        """Hold a record that has open work. Called before `read_to` passes it, or while it is held already."""
        if offset not in self._held:
            heapq.heappush(self._lowest, offset)
        self._held[offset] = self._held.get(offset, 0) + 1

    def release(self, offset: int) -> None:
        """Release one of the record's holds."""
        left = self._held[offset] - 1
        if left:
            self._held[offset] = left
        else:
            del self._held[offset]

    def read_to(self, offset: int) -> None:
        """Note that all records up to `offset` were read, and held if they have open work."""
        self._read_to = max(self._read_to, offset)

    @property
    def value(self) -> int:
        """The highest offset up to which nothing is open."""
        while self._lowest and self._lowest[0] not in self._held:
            heapq.heappop(self._lowest)
        return self._lowest[0] - 1 if self._lowest else self._read_to

    @property
    def open(self) -> int:
        """The number of held records."""
        return len(self._held)
