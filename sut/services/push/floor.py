"""How far a follower of the log is done, when it finishes records out of order. Pure."""

from __future__ import annotations

import heapq


class Floor:
    """One partition: everything up to `value` is answered, so the log may be committed to there.

    A record that has something open is held, once for each thing; holds and reads come in any order of release.
    """

    def __init__(self, start: int = 0) -> None:
        self._read_to = start
        self._held: dict[int, int] = {}
        self._lowest: list[int] = []

    def hold(self, offset: int) -> None:
        """Something of this record is open. Called before `read_to` passes it, or while it is held already."""
        if offset not in self._held:
            heapq.heappush(self._lowest, offset)
        self._held[offset] = self._held.get(offset, 0) + 1

    def release(self, offset: int) -> None:
        """One of its holds is over."""
        left = self._held[offset] - 1
        if left:
            self._held[offset] = left
        else:
            del self._held[offset]

    def read_to(self, offset: int) -> None:
        """All records up to this one were seen, and held if there is something to do."""
        self._read_to = max(self._read_to, offset)

    @property
    def value(self) -> int:
        """The highest offset up to which nothing is open."""
        while self._lowest and self._lowest[0] not in self._held:
            heapq.heappop(self._lowest)
        return self._lowest[0] - 1 if self._lowest else self._read_to

    @property
    def open(self) -> int:
        """Records that are held."""
        return len(self._held)
