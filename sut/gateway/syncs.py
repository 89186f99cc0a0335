"""The SYNCs of a gateway's devices that are under way: who is told RESYNC, and when. Pure.

RESYNC makes a device ask what it missed, which costs the service more than a message. If notifications may be lost all
the time (a lease that may have lapsed, a sequencer without a link), each BEAT would say it, and a service that is slow
would get the same question from everybody again and again. So RESYNC is said only while fewer than MOST questions wait
for their answer. Who is not told now is told as soon as there is room, not with the next BEAT.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sut.gateway.timers import ticks

MOST: Final = 50
"""A service that takes 10 ms for a SYNC so answers 5,000 a second, one that takes 2 s still 25."""
FORGET: Final = ticks(5.0)
"""A SYNC without an answer counts for this time: its device may be gone."""


class Syncs:
    """The SYNCs under way, and the connections that are still to be told. Connections are meant by their numbers."""

    def __init__(self) -> None:
        self._asked: dict[int, int] = {}
        """Connection -> the tick of its SYNC or of what will cause it, the oldest first."""
        self._waiting: dict[int, None] = {}
        self.held = 0
        """Times that RESYNC was not said at once."""

    @property
    def waiting(self) -> int:
        """The connections that are to be told."""
        return len(self._waiting)

    def room(self, tick: int) -> bool:
        """Return True if RESYNC may be said to one more."""
        while self._asked and next(iter(self._asked.values())) <= tick - FORGET:
            del self._asked[next(iter(self._asked))]
        return len(self._asked) < MOST

    def asked(self, number: int, tick: int) -> None:
        """Note that this connection's device sends a SYNC, or was told to."""
        self._asked.pop(number, None)
        self._asked[number] = tick
        self._waiting.pop(number, None)

    def answered(self, number: int) -> None:
        """Note the answer to a SYNC."""
        self._asked.pop(number, None)

    def left(self, number: int) -> None:
        """Forget a connection that has ended."""
        self._asked.pop(number, None)
        self._waiting.pop(number, None)

    def hold(self, number: int) -> None:
        """Tell this connection later."""
        self.held += 1
        self._waiting[number] = None

    def hold_all(self, numbers: Iterable[int]) -> None:
        """Tell all of these, in turn."""
        self._waiting.update(dict.fromkeys(numbers))

    def due(self, tick: int, most: int) -> list[int]:
        """Return the connections that are to be told now, at most `most`: they count as asked."""
        told: list[int] = []
        while self._waiting and len(told) < most and self.room(tick):
            told.append(next(iter(self._waiting)))
            self.asked(told[-1], tick)
        return told
