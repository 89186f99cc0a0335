"""Pages that many members ask for at the same moment: one question to the sequencer answers them all.

A message of a group makes all its members FETCH the same numbers within a few milliseconds, from the same chat service
(sut/gateway/gateway.py). With such a page the sequencer names the users for whom it is the same, byte for byte. The
page is kept for a moment and given to those only. It never becomes wrong. What it covers does not change, its readers
were members throughout, and a later removal has a higher number. Only its head grows old, and a device that was told of
a higher number continues from `through`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

KEEP_S: Final = 0.25
MAX_KEPT: Final = 2_000
"""Pages kept; a usual one has some 20 KB at most."""

Key = tuple[int, int, int]
"""(conversation, after, limit) of a FETCH."""


@dataclass(frozen=True, slots=True)
class _Kept:
    page: bytes
    readers: frozenset[int]
    until_s: float


class SharedPages:
    """The pages of the last KEEP_S, and the questions in progress. `now_s` may come from any monotonic clock."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._asking: dict[Key, asyncio.Future[None]] = {}
        self.given = 0

    def get(self, key: Key, user: int, now_s: float) -> bytes | None:
        """Return the page, if it is kept and valid for this user."""
        kept = self._kept.get(key)
        if kept is None or now_s > kept.until_s or user not in kept.readers:
            return None
        self.given += 1
        return kept.page

    def put(self, key: Key, page: bytes, readers: tuple[int, ...], now_s: float) -> None:
        """Keep a page that the sequencer gave just now, unless it is for no other user."""
        if not readers:
            return
        self._kept[key] = _Kept(page, frozenset(readers), now_s + KEEP_S)
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_KEPT or next(iter(self._kept.values())).until_s < now_s:
            self._kept.popitem(last=False)

    async def turn(self, key: Key) -> bool:
        """Return True if the caller must ask and then call `done`. False: another caller just asked; look again."""
        asking = self._asking.get(key)
        if asking is None:
            self._asking[key] = asyncio.get_running_loop().create_future()
            return True
        await asyncio.shield(asking)
        return False

    def done(self, key: Key) -> None:
        """End the question that `turn` allowed, with or without an answer."""
        self._asking.pop(key).set_result(None)
