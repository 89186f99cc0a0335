"""Time for many connections at once: a clock that ignores stalls of the process, and a timer wheel.

A loop timer per connection would cost more than the connection. Instead the gateway ticks ten times a second, and a
wheel reports the items that are due. The clock counts the ticks that this process has run. After a SIGSTOP of a minute
the devices were not idle for a minute, the gateway was stopped, and no connection is closed for it.
"""

from __future__ import annotations

from typing import Final, Generic, Protocol, TypeVar

TICK_S: Final = 0.1
MAX_STEP: Final = 5
"""Ticks that one step of the clock may count: in a longer pause the process did not run."""
NEVER: Final = -1


def ticks(seconds: float) -> int:
    """Return the seconds in ticks, at least one."""
    return max(1, round(seconds / TICK_S))


class AwakeClock:
    """Counts ticks while the process runs. Fed from a monotonic clock; never steps by more than MAX_STEP."""

    __slots__ = ("_last_s", "second", "stalls", "tick")

    def __init__(self, now_s: float) -> None:
        self._last_s = now_s
        self.tick = 0
        self.second = 0
        """The whole seconds that the process has run."""
        self.stalls = 0
        """Pauses that were cut to MAX_STEP."""

    def advance(self, now_s: float) -> int:
        """Advance to the time `now_s`. Returns the present tick."""
        passed = int((now_s - self._last_s) / TICK_S)
        if passed > MAX_STEP:
            self.stalls += 1
            self._last_s = now_s
            self.tick += MAX_STEP
        elif passed > 0:
            self._last_s += passed * TICK_S
            self.tick += passed
        self.second = int(self.tick * TICK_S)
        return self.tick


class Timed(Protocol):
    """An item of a wheel. `due` belongs to the wheel: the tick it was last put at, or NEVER."""

    due: int


T = TypeVar("T", bound=Timed)


class Wheel(Generic[T]):
    """Returns items when their tick has come. Putting one again moves it; setting its `due` to NEVER removes it.

    An item that was moved or removed stays referenced by its old slot until that comes up, at most `horizon` ticks
    later. A due tick beyond the horizon comes up early. So the caller compares an item with its own deadline and may
    put it again.
    """

    __slots__ = ("_now", "_slots")

    def __init__(self, horizon: int = 1024) -> None:
        self._slots: list[list[T]] = [[] for _ in range(horizon)]
        self._now = 0

    def put(self, item: T, due: int) -> None:
        """Make `advance` return it at tick `due`, or at the next tick if that is later."""
        item.due = min(max(due, self._now + 1), self._now + len(self._slots) - 1)
        self._slots[item.due % len(self._slots)].append(item)

    def advance(self, tick: int) -> list[T]:
        """Return the items whose tick has come since the last call, in order of their ticks."""
        due: list[T] = []
        while self._now < tick:
            self._now += 1
            slot = self._now % len(self._slots)
            items = self._slots[slot]
            if items:
                self._slots[slot] = []
                due += [item for item in items if item.due == self._now]
        return due
