"""The alarms of a fleet process: one wheel for all of its devices, of which each has at most one alarm. Pure.

An alarm is a tick, TICK_S long. The devices of one tick are one array, so that a waiting device costs 12 bytes and a
share of its tick. A device whose alarm is moved stays in the old tick too, and is passed over there.
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

    def __init__(self, rows: int) -> None:
        self._at = array("q", [_NEVER]) * rows
        self._ticks: dict[int, array[int]] = {}
        self._order: list[int] = []
        """The ticks with rows, as a heap."""

    def set(self, row: int, at_s: float) -> None:
        """Set the alarm of a row, instead of the one that it had; inf: none."""
        tick = _NEVER if at_s == math.inf else max(0, math.ceil(at_s / TICK_S))
        if self._at[row] == tick:
            return
        self._at[row] = tick
        if tick == _NEVER:
            return
        rows = self._ticks.get(tick)
        if rows is None:
            rows = self._ticks[tick] = array("I")
            heappush(self._order, tick)
        rows.append(row)

    def earlier(self, row: int, at_s: float) -> None:
        """Set the alarm of a row unless it comes before `at_s` anyway."""
        if at_s < self._at[row] * TICK_S:
            self.set(row, at_s)

    @property
    def next_s(self) -> float:
        """When the next alarm may be due; inf: there is none."""
        return self._order[0] * TICK_S if self._order else math.inf

    def pop(self, now_s: float, limit: int) -> list[int]:
        """Return up to `limit` rows whose alarms are due, each once; their alarms are gone."""
        found: list[int] = []
        while self._order and len(found) < limit and self._order[0] * TICK_S <= now_s:
            tick = self._order[0]
            rows = self._ticks[tick]
            while rows and len(found) < limit:
                row = rows.pop()
                if self._at[row] == tick:
                    self._at[row] = _NEVER
                    found.append(row)
            if not rows:
                heappop(self._order)
                del self._ticks[tick]
        return found
