"""What devices have shown and read, gathered for a tick of the gateway: one frame for all of them.

Such reports are cumulative, and nobody waits for one. Those that are lost, devices repeat with their next SYNC.
"""

from __future__ import annotations

from typing import Final

from sut.protocol.peer import Reported
from sut.protocol.signals import ReceiptKind

MAX_WAITING: Final = 50_000
"""Reports of one tick; more are dropped."""
MAX_ITEMS: Final = 2_000
"""Reports in one frame, some 60 KB."""


class Reports:
    """The highest number of each (device, conversation, kind) since the last tick."""

    def __init__(self) -> None:
        self._highest: dict[tuple[int, int, int], tuple[int, int]] = {}
        """(device, conversation, kind) -> (number, user)."""

    def note(self, conv: int, kind: ReceiptKind, seq: int, *, user: int, device: int) -> bool:
        """Keep a report for the next frame. False: too many wait."""
        key = device, conv, int(kind)
        before = self._highest.get(key)
        if before is None and len(self._highest) >= MAX_WAITING:
            return False
        if before is None or seq > before[0]:
            self._highest[key] = seq, user
        return True

    def take(self) -> list[Reported]:
        """Return the frames with all that was noted, and forget it."""
        if not self._highest:
            return []
        items = [(user, *key, seq) for key, (seq, user) in self._highest.items()]
        self._highest = {}
        return [Reported(tuple(items[start : start + MAX_ITEMS])) for start in range(0, len(items), MAX_ITEMS)]
