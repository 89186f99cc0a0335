"""The pushes of one provider: collapsed, in turn, retried. Pure: time and randomness are arguments.

For each (device, conversation) there is at most one push, pending or in flight, and the highest number wins: it covers
the lower ones. So the number of waiting pushes is at most devices times conversations, however long a provider is
away. Each push holds the lowest record of the log that it answers for (floor.py).
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from sut.ports import PushAnswer, RegisteredDevice, Verdict
from sut.services.push.floor import Floor

FIRST_WAIT_S: Final = 0.3
MAX_WAIT_S: Final = 20.0
MAX_RETRY_AFTER_S: Final = 300.0
"""The longest wait in seconds that a provider may ask for. Afterwards it is tried again."""
REACH_FIRST_S: Final = 0.1
REACH_MAX_S: Final = 3.0
"""The waits in seconds while a provider is unreachable or cuts the connection. One push at a time tests it."""
WIDTH: Final = 64
"""The number of pushes in flight: with 50 ms per answer, 1,280 a second."""


class Hold(NamedTuple):
    """A record of the log that a push holds."""

    partition: int
    offset: int


@dataclass(slots=True, eq=False)
class Due:
    """One push: to this device, for this conversation, up to `seq`."""

    device: RegisteredDevice
    conv: int
    seq: int
    hold: Hold
    flying: int = 0
    """The sequence number in flight; 0 while there is none."""
    next_hold: Hold | None = None
    """The first record with a higher number that came while the push was in flight."""
    attempts: int = 0


class Lane:
    """The pushes of one provider."""

    def __init__(self, floors: Mapping[int, Floor], *, rng: random.Random) -> None:
        self._floors = floors
        self._rng = rng
        self._dues: dict[tuple[int, int], Due] = {}
        self._ready: deque[Due] = deque()
        self._waiting: list[tuple[float, int, Due]] = []
        self._order = 0
        self._unreached = 0
        self._blocked_until_s = 0.0
        self.flying = 0
        self.counts = dict.fromkeys(Verdict, 0)
        """The number of answers so far, by verdict."""

    def __len__(self) -> int:
        """The number of pushes without a final answer."""
        return len(self._dues)

    def add(self, device: RegisteredDevice, conv: int, seq: int, hold: Hold) -> None:
        """Add a push to this device: the conversation has reached `seq`."""
        due = self._dues.get((device.device, conv))
        if due is None:
            self._floors[hold.partition].hold(hold.offset)
            due = self._dues[device.device, conv] = Due(device, conv, seq, hold)
            self._ready.append(due)
            return
        due.device = device
        if seq > due.seq:
            due.seq = seq
            if due.flying and due.next_hold is None:
                self._floors[hold.partition].hold(hold.offset)
                due.next_hold = hold

    def take(self, now_s: float) -> Due | None:
        """Return the next push to try, now in flight. None: none is due, or too many are in flight."""
        while self._waiting and self._waiting[0][0] <= now_s:
            self._ready.append(heapq.heappop(self._waiting)[2])
        if self.flying >= (1 if self._unreached else WIDTH) or now_s < self._blocked_until_s or not self._ready:
            return None
        due = self._ready.popleft()
        due.flying = due.seq
        self.flying += 1
        return due

    def wait_s(self, now_s: float) -> float | None:
        """Return how long `take` will give nothing unless a push is added or answered; None: for ever."""
        if self._ready:
            return max(0.0, self._blocked_until_s - now_s) or None
        if self._waiting:
            return max(0.0, max(self._waiting[0][0], self._blocked_until_s) - now_s)
        return None

    def answer(self, due: Due, answer: PushAnswer, now_s: float) -> None:
        """Record the provider's answer to a push that was taken."""
        self.flying -= 1
        self.counts[answer.verdict] += 1
        flown, due.flying = due.flying, 0
        if answer.verdict != Verdict.UNREACHABLE:
            self._unreached = 0
            self._blocked_until_s = 0.0
        elif now_s >= self._blocked_until_s:  # pushes on the same connection fail together: count them once
            wait_s = self._rng.uniform(0.5, 1.0) * min(REACH_MAX_S, REACH_FIRST_S * 2 ** min(self._unreached, 10))
            self._unreached += 1
            self._blocked_until_s = now_s + wait_s
        if answer.verdict in (Verdict.LATER, Verdict.UNREACHABLE):
            if due.next_hold is not None:  # the lower hold covers both
                self._release(due.next_hold)
                due.next_hold = None
            self._again(due, answer, now_s)
            return
        self._release(due.hold)
        if due.next_hold is not None:
            due.hold, due.next_hold, due.attempts = due.next_hold, None, 0
            self._ready.append(due)
        else:
            assert due.seq == flown
            del self._dues[due.device.device, due.conv]

    def readdress(self, devices: Iterable[RegisteredDevice], *, dead: RegisteredDevice) -> bool:
        """Redirect all pushes of this device to its present token of the same provider.

        Returns False if it has none.
        """
        for device in devices:
            if device.device == dead.device and device.push is not None and dead.push is not None:
                if device.push.provider != dead.push.provider or device.push.token == dead.push.token:
                    continue
                for (number, _), due in self._dues.items():
                    if number == device.device:
                        due.device = device
                return True
        return False

    def _again(self, due: Due, answer: PushAnswer, now_s: float) -> None:
        if answer.verdict == Verdict.UNREACHABLE:
            self._ready.append(due)  # behind the others, in case this push breaks the connection
            return
        spread_s = min(MAX_WAIT_S, FIRST_WAIT_S * 2 ** min(due.attempts, 10))
        due.attempts += 1
        asked_s = min(answer.retry_after_s, MAX_RETRY_AFTER_S)
        self._order += 1
        heapq.heappush(self._waiting, (now_s + asked_s + self._rng.uniform(0.0, spread_s), self._order, due))

    def _release(self, hold: Hold) -> None:
        self._floors[hold.partition].release(hold.offset)
