"""The heartbeats of devices at rest: sent and answered by row, without a device. Pure.

What was sent and answered is told to the device when it wakes (Client.beaten), so that it knows all that it would know
by itself. A device wakes for everything else: an answer with flags, none in time, a SYNC that its beats make due.
"""

from __future__ import annotations

import math
import secrets
from array import array
from typing import Final

from sut.protocol.frames import Beat, Heartbeat, encode
from sut.protocol.websocket import binary, unmask

BEAT: Final = binary(encode(Beat(0)))
"""What a gateway sends in answer, if it has nothing to add."""
_MASKS: Final = 64


def _masked(payload: bytes) -> bytes:
    mask = secrets.token_bytes(4)
    return bytes((0x82, 0x80 | len(payload))) + mask + unmask(payload, mask)


class Rhythm:
    """The heartbeats of the devices of one process."""

    def __init__(self, rows: int, *, timeout_s: float) -> None:
        """`timeout_s`: how long an answer may take."""
        self._timeout_s = timeout_s
        self._frames = [_masked(encode(Heartbeat())) for _ in range(_MASKS)]
        self._turn = 0
        self._due = array("d", [math.inf]) * rows
        self._every_s = array("d", [math.inf]) * rows
        self._other_at = array("d", [math.inf]) * rows
        self._sent_at = array("d", [0.0]) * rows
        self._heard_at = array("d", [0.0]) * rows
        """0.0: the last one has no answer yet."""
        self._count = bytearray(rows)
        self._left = bytearray(rows)

    def frame(self) -> bytes:
        """Return a HEARTBEAT as a client's WebSocket message."""
        self._turn += 1
        return self._frames[self._turn % _MASKS]

    def rest(self, row: int, due: float, every_s: float, left: int, *, other_at: float) -> None:
        """A device rests: `left` heartbeats may be sent for it, the first at `due`, until `other_at`."""
        self._due[row], self._every_s[row], self._other_at[row] = due, every_s, other_at
        self._left[row], self._count[row] = min(left, 255), 0

    def also(self, row: int, at: float) -> None:
        """A device, at rest or not, has something to do at this time."""
        self._other_at[row] = min(self._other_at[row], at)

    def is_due(self, row: int, now: float) -> bool:
        """Return True if the device needs its next heartbeat and nothing else."""
        return self._left[row] > 0 and self._due[row] <= now < self._other_at[row] and not self.awaits(row)

    def awaits(self, row: int) -> bool:
        """Return True if a heartbeat was sent that has no answer yet."""
        return self._count[row] > 0 and not self._heard_at[row]

    def sent(self, row: int, now: float) -> float:
        """Note that a heartbeat was sent. Returns when to look again."""
        self._count[row] += 1
        self._left[row] -= 1
        self._sent_at[row], self._heard_at[row] = now, 0.0
        self._due[row] = now + self._every_s[row]
        return min(self._other_at[row], now + self._timeout_s)

    def heard(self, row: int, now: float) -> float:
        """Note the answer. Returns when to look again."""
        self._heard_at[row] = now
        return min(self._other_at[row], self._due[row])

    def wake(self, row: int) -> tuple[int, float, float | None] | None:
        """The device wakes: return what to tell it with Client.beaten; None: nothing was sent."""
        count, self._count[row], self._left[row] = self._count[row], 0, 0
        return (count, self._sent_at[row], self._heard_at[row] or None) if count else None
