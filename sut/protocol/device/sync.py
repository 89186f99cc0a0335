"""SYNC: what has this device missed? Asked after WELCOME, on a hint, now and then, page by page.

A page of cursors is the first MAX_SYNC_CURSORS conversations above `after_conv`, by rising id. The answer lists what
is ahead, by rising id too, so everything up to its last entry has been looked at, and the next page goes on from
there. A device with more conversations than fit one SYNC is told of some that it has seen: that costs bytes, and
nothing else, for a head at or below the cursor is no news.
"""

from __future__ import annotations

import math
from heapq import nsmallest
from typing import Final

from sut.protocol.device.context import Context
from sut.protocol.frames import MAX_SYNC_CURSORS, SYNCED_MORE, SYNCED_STALE, Sync, Synced

STALE_WAIT_S: Final = (0.5, 1.5)
"""Range of the wait before a SYNC whose answer was not sure is asked again; it doubles with each such answer."""
MAX_STALE_DOUBLINGS: Final = 2
"""A part of the system that is away for longer than a few seconds is not asked about more often for that."""


class Syncs:
    """One chain of SYNCs at a time."""

    __slots__ = (
        "_after", "_again", "_asked", "_context", "_cursors", "_failures", "_first_req", "_req", "_resting",
        "_stale", "_stale_chains", "_until", "started",
    )  # fmt: skip

    def __init__(self, context: Context, cursors: dict[int, int]) -> None:
        self._context = context
        self._cursors = cursors
        self._req = 0  # of the SYNC that is out; 0: none is
        self._first_req = 0  # of the first that asked for the same page: a late answer to it is as good
        self._after = 0
        self._asked: tuple[tuple[int, int], ...] = ()  # the cursors of the first SYNC of this page
        self._until = math.inf  # when to repeat the SYNC that is out, or to start the next chain
        self._again = False
        self._resting = False  # the SYNC that is out was refused for now
        self._stale = False
        self._stale_chains = 0
        self._failures = 0
        self.started = 0
        """Chains so far, on all connections."""

    @property
    def under_way(self) -> bool:
        """A chain has started and not ended."""
        return self._req != 0

    @property
    def settled(self) -> bool:
        """No answer is awaited, and none was so unsure that it has to be asked for again."""
        return not self.under_way and self._until == math.inf

    def begin(self, now: float) -> bool:
        """Start a chain, or have one follow the present one. True: it started now."""
        if self.under_way:
            self._again = True
            return False
        self._stale = False
        self.started += 1
        self._ask_after(0, now)
        return True

    def close(self) -> None:
        """The connection ended."""
        self._req, self._until, self._again = 0, math.inf, False
        self._asked = ()
        self._failures = self._stale_chains = 0

    def fallen(self, frame: Synced) -> list[tuple[int, int]]:
        """(conversation, head) of those whose head is below the cursor that was asked with. Before `answered`."""
        if not self._awaits(frame.req) or frame.flags & SYNCED_STALE:
            return []
        asked = dict(self._asked)
        return [(conv, head) for conv, head, _ in frame.entries if head < asked.get(conv, 0)]

    def _awaits(self, req: int) -> bool:
        return self._req != 0 and self._first_req <= req <= self._req

    def answered(self, frame: Synced, now: float) -> bool | None:
        """None: not the answer that is awaited, or more pages follow. Else the chain ended; True: with sure answers."""
        if not self._awaits(frame.req):
            return None
        self._failures = 0
        self._stale = self._stale or bool(frame.flags & SYNCED_STALE)
        if frame.flags & SYNCED_MORE:
            last = frame.entries[-1].conv if frame.entries else 0
            if last > self._after:
                self._ask_after(last, now)
                return None
            self._context.violation("SYNCED says that there is more, and not from where")
            self._stale = True
        self._req, self._until = 0, math.inf
        if self._again:
            self._again = False
            self._until = now
        elif self._stale:
            doublings = min(self._stale_chains, MAX_STALE_DOUBLINGS)
            self._until = now + self._context.rng.uniform(*STALE_WAIT_S) * 2**doublings
        self._stale_chains = self._stale_chains + 1 if self._stale else 0
        return not self._stale

    def failed(self, req: int, now: float) -> None:
        """ERROR: ask again after a back-off."""
        if req and req == self._req:
            self._until = now + self._context.back_off_s(self._failures)
            self._failures += 1
            self._resting = True

    def due(self) -> float:
        """When tick() has something to do."""
        return self._context.due(self._until) if self.under_way and not self._resting else self._until

    def tick(self, now: float) -> bool:
        """Repeat what was not answered, or start the chain that is due. True: a chain started."""
        if self._until > now:
            return False
        if self.under_way:
            if not self._resting and not self._context.overdue(self._until, now):
                return False
            self._ask(now)
            return False
        return self.begin(now)

    def _ask_after(self, after_conv: int, now: float) -> None:
        """Ask for the page above this conversation for the first time."""
        self._after = after_conv
        self._asked = self._ask(now)
        self._first_req = self._req

    def _ask(self, now: float) -> tuple[tuple[int, int], ...]:
        above = (item for item in self._cursors.items() if item[0] > self._after)
        self._req = self._context.next_req()
        cursors = tuple(nsmallest(MAX_SYNC_CURSORS, above))
        self._context.ask(Sync(self._req, self._after, cursors), now)
        self._until = now + self._context.settings.fetch_timeout_s
        self._resting = False
        return cursors
