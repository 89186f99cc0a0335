"""Keeps records whose devices were connected at the decision, until those devices have proven that they are there.

A connection may be half open: its device counts as connected, and receives nothing. Its gateway notices that some
seconds after it has told the device something (gateway/silence.py). Until then the record stays here and holds the log:
after a restart it is decided again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sut.ports import RegisteredDevice
from sut.services.push.reader import Reached

WATCH_S: Final = 4.0
"""Seconds from the applied record: 2.5 s until a gateway calls a device silent, and time to learn of it."""
EARLIER_S: Final = 0.3
"""The most seconds from the notification of a device to the arrival of its record here.

What a device was told before it fell silent, it has answered.
"""
MAX_WATCHED: Final = 50_000
"""The number of records. Beyond it the oldest are released."""


@dataclass(slots=True, eq=False)
class Watched:
    """A record, and its devices that were connected at the decision."""

    reached: Reached
    devices: list[RegisteredDevice]


class Watch:
    """The watched records, in the order of the decisions. Pure: time is an argument."""

    def __init__(self, release: Callable[[Reached], None]) -> None:
        """`release` is called when nothing more has to be done for the record."""
        self._release = release
        self._records: deque[Watched] = deque()

    def __len__(self) -> int:
        return len(self._records)

    def add(self, reached: Reached, devices: list[RegisteredDevice]) -> None:
        """Take over a record with its hold on the floor."""
        self._records.append(Watched(reached, devices))
        if len(self._records) > MAX_WATCHED:
            self._release(self._records.popleft().reached)

    def missed(self, silent: Mapping[int, float]) -> list[tuple[Watched, RegisteredDevice]]:
        """Return the (record, device) pairs that were not answered. `silent`: device -> since when it is silent."""
        if not silent:
            return []
        return [
            (watched, device)
            for watched in self._records
            for device in watched.devices
            if device.device in silent and watched.reached.at_s >= silent[device.device] - EARLIER_S
        ]

    def expire(self, now_s: float) -> None:
        """Release the records that were watched for WATCH_S."""
        while self._records and self._records[0].reached.at_s + WATCH_S <= now_s:
            self._release(self._records.popleft().reached)
