"""Records that were decided upon while some of their devices were connected, kept until those have proven to be there.

A connection may be half open: its device counts as connected, and hears nothing. Its gateway finds that out some
seconds after it has told the device something (gateway/silence.py). Until then the record stays here, and holds the
log: a restart decides upon it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sut.ports import RegisteredDevice
from sut.services.push.reader import Reached

WATCH_S: Final = 4.0
"""From the record, applied: 2.5 s until a gateway calls a device silent, and time to hear of it."""
EARLIER_S: Final = 0.3
"""A record is seen here so long after its devices were told, at most; what a device was told before it fell silent it
has answered."""
MAX_WATCHED: Final = 50_000
"""Records; of more, the oldest are let go."""


@dataclass(slots=True, eq=False)
class Watched:
    """A record, and the devices that were connected."""

    reached: Reached
    devices: list[RegisteredDevice]


class Watch:
    """In the order of the decisions. Pure: time is handed in."""

    def __init__(self, release: Callable[[Reached], None]) -> None:
        """`release`: nothing more is to be done about this record."""
        self._release = release
        self._records: deque[Watched] = deque()

    def __len__(self) -> int:
        return len(self._records)

    def add(self, reached: Reached, devices: list[RegisteredDevice]) -> None:
        """Take the record over."""
        self._records.append(Watched(reached, devices))
        if len(self._records) > MAX_WATCHED:
            self._release(self._records.popleft().reached)

    def missed(self, silent: Mapping[int, float]) -> list[tuple[Watched, RegisteredDevice]]:
        """What devices that are silent since these times were told and have not answered."""
        if not silent:
            return []
        return [
            (watched, device)
            for watched in self._records
            for device in watched.devices
            if device.device in silent and watched.reached.at_s >= silent[device.device] - EARLIER_S
        ]

    def expire(self, now_s: float) -> None:
        """Let go what was watched for long enough."""
        while self._records and self._records[0].reached.at_s + WATCH_S <= now_s:
            self._release(self._records.popleft().reached)
