"""The heartbeats of devices at rest: sent and answered by row, without a device. Pure.

What was sent and answered is told to the device when it wakes (Client.beaten), so that it knows all that it would know
by itself. A device wakes for everything else: an answer with flags, none in time, the answer that makes a SYNC due.

Heartbeats that are due within GRID_S leave together, so that a process is not woken for each, nor is its gateway. Each
process has a grid of its own.
"""

from __future__ import annotations

import math
import random
from array import array
from collections import deque
from typing import Final

from load.drive.lean.wheel import Wheel
from sut.protocol.client_socket import masked
from sut.protocol.frames import Beat, Heartbeat, encode
from sut.protocol.websocket import binary

BEAT: Final = binary(encode(Beat(0)))
"""What a gateway sends in answer, if it has nothing to add."""
GRID_S: Final = 0.1
_MASKS: Final = 64


class Rhythm:
    """The heartbeats of the devices of one process."""

    def __init__(self, rows: int, *, timeout_s: float, grid_s: float = GRID_S) -> None:
        """`timeout_s`: how long an answer may take. `grid_s`: how late a heartbeat may be."""
        self._timeout_s = timeout_s
        self._frames = [masked(encode(Heartbeat())) for _ in range(_MASKS)]
        self._turn = 0
        self._wheel = Wheel(rows, tick_s=grid_s, offset_s=random.random() * grid_s)
        self._every_s = array("d", [math.inf]) * rows
        self._sent_at = array("d", [0.0]) * rows
        self._heard_at = array("d", [0.0]) * rows
        """0.0: the last one has no answer yet."""
        self._count = bytearray(rows)
        self._left = bytearray(rows)
        self._sent: deque[tuple[float, list[int]]] = deque()
        """When heartbeats were sent, and by whom; those of the last `timeout_s`."""

    def frame(self) -> bytes:
        """Return a HEARTBEAT as a client's WebSocket message."""
        self._turn += 1
        return self._frames[self._turn % _MASKS]

    def rest(self, row: int, due: float, every_s: float, left: int) -> None:
        """A device rests: `left` heartbeats may be sent for it, the first at `due`."""
        self._every_s[row] = every_s
        self._left[row], self._count[row] = min(left, 255), 0
        if left:
            self._wheel.set(row, due)

    @property
    def next_s(self) -> float:
        """When `due` or `overdue` may have something; inf: not before another call."""
        at = self._wheel.next_s
        return min(at, self._sent[0][0] + self._timeout_s) if self._sent else at

    def due(self, now: float) -> list[int]:
        """Return the rows that need a heartbeat now. The owner sends it and calls `sent`, or wakes the device."""
        return self._wheel.pop(now, 1 << 30)

    def overdue(self, now: float) -> list[int]:
        """Return the rows whose last heartbeat has no answer in time. The owner wakes these devices."""
        found: list[int] = []
        while self._sent and self._sent[0][0] + self._timeout_s <= now:
            sent_at, rows = self._sent.popleft()
            found += [row for row in rows if self._sent_at[row] == sent_at and self.awaits(row)]
        return found

    def awaits(self, row: int) -> bool:
        """Return True if a heartbeat was sent that has no answer yet."""
        return self._count[row] > 0 and not self._heard_at[row]

    def sent(self, rows: list[int], now: float) -> None:
        """Note that heartbeats were sent."""
        for row in rows:
            self._count[row] += 1
            self._left[row] -= 1
            self._sent_at[row], self._heard_at[row] = now, 0.0
            if self._left[row]:
                self._wheel.set(row, now + self._every_s[row])
        self._sent.append((now, rows))

    def heard(self, row: int, now: float) -> bool:
        """Note a BEAT without flags. Returns False if it is the device's to take: nobody waits, or it was the last."""
        if not self._left[row] or not self.awaits(row):
            return False
        self._heard_at[row] = now
        return True

    def wake(self, row: int) -> tuple[int, float, float | None] | None:
        """The device wakes: return what to tell it with Client.beaten; None: nothing was sent."""
        self._wheel.set(row, math.inf)
        count, self._count[row], self._left[row] = self._count[row], 0, 0
        return (count, self._sent_at[row], self._heard_at[row] or None) if count else None
