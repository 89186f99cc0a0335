"""The SYNCs of a gateway's devices that are under way: who is told RESYNC, and when. Pure.

RESYNC makes a device ask what it missed, which costs the service more than a message. If notifications may be lost all
the time (a lease that may have lapsed, a sequencer without a link), each BEAT would say it, and a service that is slow
would get the same question from everybody again and again. So RESYNC is said only while few questions wait for their
answer (Window). Who is not told now is told as soon as there is room, not with the next BEAT.

A device that has just connected knows what it missed from the answer to its first SYNC. When all devices of a dead
gateway come at once, that takes seconds. Meanwhile the device is connected, and was told nothing. So the push service
hears of it as of a silent one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from sut.gateway.silence import SILENT_S
from sut.gateway.timers import ticks

MOST: Final = 50
"""A service that takes 10 ms for a SYNC so answers 5,000 a second, one that takes 2 s still 25."""
LEAST: Final = 4
SLOWER: Final = 1.5
SPARE_S: Final = 0.005
"""Answers that take this many times as long as in calm, and SPARE_S, mean that the questions wait for each other."""
ANSWERS: Final = 32
"""Answers over which their time is averaged."""
DRIFT: Final = 10_000
"""Answers in which the time in calm follows a service that has become slower for good."""
ROUND_S: Final = 0.2
"""Seconds between two cuts of the window, at least: a cut shows in the answers only after some of them."""
FORGET: Final = ticks(5.0)
"""A SYNC without an answer counts for this time: its device may be gone."""
OWED: Final = ticks(SILENT_S)
BEFORE: Final = ticks(4.0)
"""What was sent in this time before a device asked for the first time, it may have missed."""


class Window:
    """How many SYNCs may be under way. Pure.

    After a failover of the registry all devices are told to SYNC. 50 questions of each of seven gateways, 100,000
    devices, kept both cores busy for a minute, and messages took 200 ms instead of 25. Most of these questions waited
    for others. So the window shrinks when answers take longer than in calm, and grows when they do not.
    """

    __slots__ = ("_calm_s", "_cut_s", "_size", "_took_s")

    def __init__(self) -> None:
        self._size = float(MOST)
        self._took_s = 0.0
        self._calm_s = math.inf
        self._cut_s = -math.inf

    @property
    def size(self) -> int:
        return int(self._size)

    def answered(self, took_s: float, now_s: float) -> None:
        """Note the time that an answer took."""
        self._took_s = self._took_s + (took_s - self._took_s) / ANSWERS if self._took_s else took_s
        if self._took_s < self._calm_s:
            self._calm_s = self._took_s
        else:
            self._calm_s += (self._took_s - self._calm_s) / DRIFT
        if self._took_s <= SLOWER * self._calm_s + SPARE_S:
            self._size = min(float(MOST), self._size + 1 / self._size)
        elif now_s >= self._cut_s + ROUND_S:
            self._cut_s = now_s
            self._size = max(float(LEAST), self._size * 0.7)


class Syncs:
    """The SYNCs under way, and the connections that are still to be told. Connections are meant by their numbers."""

    def __init__(self) -> None:
        self._asked: dict[int, int] = {}
        """Connection -> the tick of its SYNC or of what will cause it, the oldest first."""
        self._waiting: dict[int, None] = {}
        self._urgent: dict[int, None] = {}
        """Those of them that had no route for a time: who missed something is among them."""
        self._began_s: dict[int, float] = {}
        """Connection -> when its SYNC was passed on."""
        self._window = Window()
        self._first: dict[int, tuple[int, int]] = {}
        """Connection that waits for its first answer -> since when it is open, its device; about the oldest first."""
        self.held = 0
        """Times that RESYNC was not said at once."""

    @property
    def waiting(self) -> int:
        """The connections that are to be told."""
        return len(self._waiting) + len(self._urgent)

    def room(self, tick: int) -> bool:
        """Return True if RESYNC may be said to one more."""
        while self._asked and next(iter(self._asked.values())) <= tick - FORGET:
            del self._asked[next(iter(self._asked))]
        return len(self._asked) < self._window.size

    def asked(self, number: int, tick: int) -> None:
        """Note that this connection's device was told to SYNC, or does so unasked."""
        self._asked.pop(number, None)
        self._asked[number] = tick
        self._waiting.pop(number, None)
        self._urgent.pop(number, None)

    def passed_on(self, number: int, tick: int, now_s: float) -> None:
        """Note that a SYNC was passed on."""
        self.asked(number, tick)
        self._began_s[number] = now_s

    def begins(self, number: int, device: int, opened: int) -> None:
        """Note a SYNC of a connection that has had no answer yet, and is open since the tick `opened`."""
        self._first.setdefault(number, (opened, device))

    def answered(self, number: int, now_s: float) -> None:
        """Note the answer to a SYNC."""
        self._asked.pop(number, None)
        self._first.pop(number, None)
        began_s = self._began_s.pop(number, None)
        if began_s is not None:
            self._window.answered(now_s - began_s, now_s)

    def owed(self, tick: int) -> dict[int, int]:
        """Return the devices that wait for long for what they missed -> ticks in which they were told nothing."""
        owed: dict[int, int] = {}
        for since, device in self._first.values():
            if tick - since >= OWED:
                owed[device] = tick - since + BEFORE
        return owed

    def left(self, number: int) -> None:
        """Forget a connection that has ended."""
        self._asked.pop(number, None)
        self._began_s.pop(number, None)
        self._first.pop(number, None)
        self._waiting.pop(number, None)
        self._urgent.pop(number, None)

    def hold(self, number: int, *, urgent: bool = False) -> None:
        """Tell this connection later; `urgent`: before those that are not."""
        self.held += 1
        (self._urgent if urgent else self._waiting)[number] = None

    def hold_all(self, numbers: Iterable[int]) -> None:
        """Tell all of these, in turn."""
        self._waiting.update(dict.fromkeys(numbers))

    def due(self, tick: int, most: int) -> list[int]:
        """Return the connections that are to be told now, at most `most`: they count as asked."""
        told: list[int] = []
        while self.waiting and len(told) < most and self.room(tick):
            told.append(next(iter(self._urgent or self._waiting)))
            self.asked(told[-1], tick)
        return told
