"""Devices whose tokens are void before they expire: the list that a gateway and the API keep in memory.

A token is checked without asking a server, so revoking one needs a list of revoked tokens. The list is short and
bounded in age. A revocation voids all tokens of logins up to its second, refreshed ones too. It can be forgotten when
the last such token has expired. Clocks of two machines differ, so its second lies CLOCKS_S ahead, and above that of an
earlier revocation. A login after it gets a second above it.

The list lives in Redis, which every process reads once a second, and in the memory of each process. When Redis lost it,
each process puts its own copy back, as gateways do with their routes. While Redis is unreachable, the last known list
holds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from sut.ports import Revocation, Revocations, Unavailable

CLOCKS_S: Final = 60
"""By how much clocks of our machines may differ, with room to spare."""
LOOK_S: Final = 1.0
"""Seconds between two looks: a revoked device is disconnected about this long after its revocation."""
BATCH: Final = 500
"""Revocations that one call puts back."""
TRIM_EVERY: Final = 600
"""Looks between two removals of expired entries."""

log = logging.getLogger("revoked")


class Revoked:
    """The revocations that one process knows. Without a backend these are only its own."""

    def __init__(
        self, backend: Revocations | None = None, *, keep_s: float = 0, clock: Callable[[], float] = time.time
    ) -> None:
        """`keep_s`: the longest life of the tokens of one login, in seconds. `clock`: Unix time."""
        self._backend = backend
        self._keep_s = keep_s
        self._clock = clock
        self._at: dict[tuple[int, int], Revocation] = {}
        self._position = 0
        self._generation = 0
        self._looks = 0

    def __len__(self) -> int:
        return len(self._at)

    def is_void(self, user: int, device: int, login_s: int) -> bool:
        """Return True if the tokens of a login at `login_s` have been revoked since."""
        found = self._at.get((user, device))
        return found is not None and login_s <= found.at_s

    def login_s(self, user: int, device: int, now_s: int) -> int:
        """Return the second of a login at `now_s`: above that of every revocation of the device that is known here."""
        found = self._at.get((user, device))
        return now_s if found is None else max(now_s, found.at_s + 1)

    async def revoke(self, user: int, device: int, *, keep_s: float | None = None, always: bool = False) -> Revocation:
        """Void every token that this device has, whichever machine issued it. On return it is in Redis. Raises
        Unavailable.

        `keep_s`: how long to keep it, where tokens cannot be refreshed meanwhile. `always`: also when the list is full.
        """
        now_s = int(self._clock())
        at_s = self.login_s(user, device, now_s + CLOCKS_S)
        revocation = Revocation(user, device, at_s, at_s + round(self._keep_s if keep_s is None else keep_s))
        if self._backend is not None:
            await self._backend.revoke([revocation], now_s=now_s, always=always)
        self._learn(revocation)
        return revocation

    async def look(self) -> list[Revocation]:
        """Return the new revocations. Puts back those that Redis may have lost. Raises Unavailable."""
        if self._backend is None:
            return []
        found = await self._read()
        new = [revocation for revocation in found if self._learn(revocation)]
        generation = self._backend.generation
        if self._generation and generation != self._generation:
            self._position = 0  # numbers may have been given out again
            found = await self._read()
            new += [revocation for revocation in found if self._learn(revocation)]
            await self._put_back(found)
        self._generation = generation
        self._looks += 1
        if self._looks % TRIM_EVERY == 0:
            self._trim()
        return new

    async def watch(self, on_revoked: Callable[[Sequence[Revocation]], object]) -> None:
        """Look every second, for ever, and pass on what is new."""
        away = False
        while True:
            try:
                new = await self.look()
            except Unavailable as error:
                if not away:
                    log.warning("the list of revoked devices cannot be read: %s", error)
                away = True
            else:
                away = False
                if new:
                    on_revoked(new)
            await asyncio.sleep(LOOK_S)

    async def _read(self) -> list[Revocation]:
        assert self._backend is not None
        found: list[Revocation] = []
        while True:
            page = await self._backend.since(self._position)
            found += page.revocations
            self._position = page.position
            if not page.more:
                return found

    def _learn(self, revocation: Revocation) -> bool:
        key = revocation.user, revocation.device
        known = self._at.get(key)
        if known is not None and known.at_s >= revocation.at_s:
            return False
        self._at[key] = revocation
        return True

    async def _put_back(self, there: list[Revocation]) -> None:
        assert self._backend is not None
        self._trim()
        kept = {(one.user, one.device): one.at_s for one in there}
        lost = [one for key, one in self._at.items() if kept.get(key, -1) < one.at_s]
        for start in range(0, len(lost), BATCH):
            await self._backend.revoke(lost[start : start + BATCH], now_s=int(self._clock()), always=True)

    def _trim(self) -> None:
        now_s = self._clock()
        self._at = {key: revocation for key, revocation in self._at.items() if revocation.until_s >= now_s}
