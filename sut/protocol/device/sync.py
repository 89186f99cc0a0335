"""SYNC: what has this device missed? Sent after WELCOME, on a hint, and regularly, page by page.

A page of cursors holds the first MAX_SYNC_CURSORS conversations above `after_conv`, by rising id. The answer lists the
conversations that are ahead, also by rising id. So everything up to its last entry was checked, and the next page
continues there. A device with more conversations than fit one SYNC is also told of some that it has seen. That costs
only bytes: a head at or below the cursor is ignored.
"""

from __future__ import annotations

import math
from heapq import nsmallest
from typing import Final

from sut.protocol.device.context import Context
from sut.protocol.frames import MAX_SYNC_CURSORS, SYNCED_MORE, SYNCED_STALE, Sync, Synced

STALE_WAIT_S: Final = (0.5, 1.5)
"""The range of the wait, in seconds, before a SYNC with an uncertain answer is repeated. It doubles each time."""
MAX_STALE_DOUBLINGS: Final = 3
"""The largest number of doublings. Even in a long outage, the SYNC is repeated at that interval."""


class Syncs:
    """The SYNCs of one device, one chain at a time."""

    __slots__ = (
        "_after", "_again", "_asked", "_context", "_cursors", "_failures", "_first_at", "_first_req", "_req",
        "_resting", "_sent_at", "_stale", "_stale_chains", "_until", "started",
    )  # fmt: skip

    def __init__(self, context: Context, cursors: dict[int, int]) -> None:
        self._context = context
        self._cursors = cursors
        self._req = 0  # of the SYNC in flight; 0 for none
        self._first_req = 0  # of the first SYNC for the same page: its late answer counts too
        self._sent_at = self._first_at = -math.inf  # when these two were sent
        self._after = 0
        self._asked: tuple[tuple[int, int], ...] = ()  # the cursors of the first SYNC of this page
        self._until = math.inf  # when to repeat the SYNC in flight, or to start the next chain
        self._again = False
        self._resting = False  # the SYNC in flight was refused for now
        self._stale = False
        self._stale_chains = 0
        self._failures = 0
        self.started = 0
        """The number of chains started so far, on all connections."""

    @property
    def under_way(self) -> bool:
        """True while a chain is in progress."""
        return self._req != 0

    @property
    def settled(self) -> bool:
        """True if no answer is awaited, and no uncertain answer has to be asked for again."""
        return not self.under_way and self._until == math.inf

    def begin(self, now: float) -> bool:
        """Start a chain, or queue one after the current chain. Returns True if it started now."""
        if self.under_way:
            self._again = True
            return False
        self._stale = False
        self.started += 1
        self._ask_after(0, now)
        return True

    def close(self) -> None:
        """Reset the chain: the connection ended."""
        self._req, self._until, self._again = 0, math.inf, False
        self._asked = ()
        self._failures = self._stale_chains = 0

    def fallen(self, frame: Synced) -> list[tuple[int, int]]:
        """Return (conversation, head) where the head is below the cursor that was sent. Call it before `answered`."""
        if not self._awaits(frame.req) or frame.flags & SYNCED_STALE:
            return []
        asked = dict(self._asked)
        return [(conv, head) for conv, head, _ in frame.entries if head < asked.get(conv, 0)]

    def _awaits(self, req: int) -> bool:
        return self._req != 0 and self._first_req <= req <= self._req

    def answered(self, frame: Synced, now: float) -> bool | None:
        """Take a SYNCED. Returns None if it is not the awaited answer, or more pages follow.

        Otherwise the chain has ended; True: with certain answers.
        """
        if not self._awaits(frame.req):
            return None
        self._failures = 0
        sent_at = self._sent_at if frame.req == self._req else self._first_at
        self._context.took(now - sent_at, self._context.settings.fetch_timeout_s)
        self._stale = self._stale or bool(frame.flags & SYNCED_STALE)
        if frame.flags & SYNCED_MORE:
            last = frame.entries[-1].conv if frame.entries else 0
            if last > self._after:
                self._ask_after(last, now)
                return None
            self._context.violation("SYNCED says that there is more, but its last entry is not above after_conv")
            self._stale = True
        self._req, self._until = 0, math.inf
        if self._again:
            self._again = False
            slow = self._context.slow
            self._until = now + (self._context.rng.uniform(0.0, slow) if slow > 1.0 else 0.0)
        elif self._stale:
            doublings = min(self._stale_chains, MAX_STALE_DOUBLINGS)
            self._until = now + self._context.rng.uniform(*STALE_WAIT_S) * 2**doublings * self._context.slow
        self._stale_chains = self._stale_chains + 1 if self._stale else 0
        return not self._stale

    def failed(self, req: int, now: float) -> None:
        """Take an ERROR: ask again after a back-off."""
        if req and req == self._req:
            self._until = now + self._context.back_off_s(self._failures)
            self._failures += 1
            self._resting = True

    def due(self) -> float:
        """Return when tick() has work to do."""
        return self._context.due(self._until) if self.under_way and not self._resting else self._until

    def tick(self, now: float) -> bool:
        """Repeat a SYNC without an answer, or start the chain that is due. Returns True if a chain started."""
        if self._until > now:
            return False
        if self.under_way:
            if not self._resting and not self._context.overdue(self._until, now):
                return False
            if not self._resting:
                self._context.late(self._sent_at, now)
            self._ask(now)
            return False
        return self.begin(now)

    def _ask_after(self, after_conv: int, now: float) -> None:
        """Send the first SYNC for the page above this conversation."""
        self._after = after_conv
        self._asked = self._ask(now)
        self._first_req, self._first_at = self._req, now

    def _ask(self, now: float) -> tuple[tuple[int, int], ...]:
        above = (item for item in self._cursors.items() if item[0] > self._after)
        self._req = self._context.next_req()
        cursors = tuple(nsmallest(MAX_SYNC_CURSORS, above))
        self._context.ask(Sync(self._req, self._after, cursors), now)
        self._sent_at = now
        self._until = now + self._context.limit_s(self._context.settings.fetch_timeout_s)
        self._resting = False
        return cursors
