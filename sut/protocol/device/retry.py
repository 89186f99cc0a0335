"""Requests in flight, and requests that rest before the next attempt; one per conversation.

All flights of one Retry have the same time limit, which changes with what answers take (Context.limit_s). So their
order of departure is the order of their deadlines, and a plain dict is the queue. Rests are random, so they need a
heap. Outdated heap entries are skipped when they come up. Finding the next deadline needs no walk over the
conversations.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush

from sut.protocol.device.context import Context


class Retry:
    """Deadlines and rests by conversation. A conversation is in flight, resting, or neither."""

    __slots__ = ("_context", "_flights", "_heap", "_rests", "_timeout_s")

    def __init__(self, timeout_s: float, context: Context) -> None:
        """`timeout_s`: the time limit of an answer while the service is as fast as usual."""
        self._timeout_s = timeout_s
        self._context = context
        self._flights: dict[int, float] = {}
        self._rests: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    @property
    def flights(self) -> dict[int, float]:
        """Conversation -> departure, earliest first. Read only."""
        return self._flights

    def launch(self, conv: int, now: float) -> None:
        """Note that the request leaves now."""
        self.forget(conv)
        self._flights[conv] = now

    def answered(self, conv: int, now: float) -> None:
        """Note the answer to a request. It is proof for other requests too (Context.answered)."""
        departed = self._flights.get(conv)
        if departed is not None:
            self._context.answered(departed, now)
        self.forget(conv)

    def measure(self, conv: int, now: float) -> None:
        """Note that the answer to the request in flight comes now: the next ones may take as long."""
        departed = self._flights.get(conv)
        if departed is not None:
            self._context.took(now - departed, self._timeout_s)

    def rest(self, conv: int, until: float) -> None:
        """Note that the request failed and must wait. Replaces an earlier rest, longer or shorter."""
        self.forget(conv)
        self._rests[conv] = until
        heappush(self._heap, (until, conv))

    def rests_until(self, conv: int) -> float:
        """Return the end of the rest; inf if it does not rest."""
        return self._rests.get(conv, math.inf)

    def forget(self, conv: int) -> None:
        """Drop the conversation: the request was answered, or is not wanted any more."""
        self._flights.pop(conv, None)
        self._rests.pop(conv, None)

    def clear(self) -> None:
        """Drop everything: the connection ended."""
        self._flights.clear()
        self._rests.clear()
        self._heap.clear()

    def due(self) -> float:
        """Return the earliest deadline or end of a rest; inf if there is none."""
        heap = self._heap
        while heap and self._rests.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        rest = heap[0][0] if heap else math.inf
        for departed in self._flights.values():
            return min(self._context.due(departed + self._context.limit_s(self._timeout_s)), rest)
        return rest

    def pop_expired(self, now: float) -> list[int]:
        """Remove and return the conversations whose flight is overdue (Context.overdue)."""
        expired, limit_s = [], self._context.limit_s(self._timeout_s)
        for conv, departed in self._flights.items():
            if departed + limit_s > now or not self._context.overdue(departed + limit_s, now):
                break
            expired.append(conv)
        for conv in expired:
            self._context.late(self._flights.pop(conv), now)
        return expired

    def pop_rested(self, now: float) -> list[int]:
        """Remove and return the conversations whose rest is over, in the order of their times."""
        rested = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            until, conv = heappop(heap)
            if self._rests.get(conv) == until:
                del self._rests[conv]
                rested.append(conv)
        return rested
