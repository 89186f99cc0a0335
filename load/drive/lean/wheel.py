"""The alarms of a fleet process: one wheel for all of its devices, of which each has at most one alarm. Pure.

An alarm is a tick long. The devices of one tick are one array, so that a waiting device costs 12 bytes and a share of
its tick. A device whose alarm is moved stays in the old tick too, and is passed over there.
"""

from __future__ import annotations

import math
from array import array
from heapq import heappop, heappush
from typing import Final

TICK_S: Final = 0.004
"""How late an alarm may be."""
_NEVER: Final = (1 << 63) - 1


class Wheel:
    """Finds the rows of a table whose time has come, with one timer for all."""

    def __init__(self, rows: int, *, tick_s: float = TICK_S, offset_s: float = 0.0) -> None:
        """`tick_s`: how late an alarm may be; `offset_s`: when ticks begin."""
        self._tick_s, self._offset_s = tick_s, offset_s
        self._at = array("q", [_NEVER]) * rows
        self._ticks: dict[int, array[int]] = {}
        self._order: list[int] = []
        """The ticks with rows, as a heap."""
        self.next_s = math.inf
        """When the next alarm may be due; inf: there is none."""

    def set(self, row: int, at_s: float) -> None:
        """Set the alarm of a row, instead of the one that it had; inf: none."""
        if at_s == math.inf:
            self._at[row] = _NEVER
            return
        tick = max(0, math.ceil((at_s - self._offset_s) / self._tick_s))
        if self._at[row] == tick:
            return
        self._at[row] = tick
        rows = self._ticks.get(tick)
        if rows is None:
            rows = self._ticks[tick] = array("I")
            heappush(self._order, tick)
            self.next_s = self._time(self._order[0])
        rows.append(row)

    def earlier(self, row: int, at_s: float) -> None:
        """Set the alarm of a row unless it comes before `at_s` anyway."""
        if at_s < self._time(self._at[row]):
            self.set(row, at_s)

    def pop(self, now_s: float, limit: int) -> list[int]:
        """Return up to `limit` rows whose alarms are due, each once; their alarms are gone."""
        found: list[int] = []
        if self.next_s > now_s:
            return found
        at, order = self._at, self._order
        while order and len(found) < limit and self._time(order[0]) <= now_s:
            tick = order[0]
            rows = self._ticks[tick]
            while rows and len(found) < limit:
                row = rows.pop()
                if at[row] == tick:
                    at[row] = _NEVER
                    found.append(row)
            if not rows:
                heappop(order)
                del self._ticks[tick]
        self.next_s = self._time(order[0]) if order else math.inf
        return found

    def _time(self, tick: int) -> float:
        return tick * self._tick_s + self._offset_s
