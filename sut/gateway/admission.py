"""Which SENDs a gateway takes: one that would wait too long is refused, and told when to come again. Pure.

A gateway sees the whole way of a SEND: to a chat service, into the log, through the sequencer, and back as ACK or NACK.
So the SENDs without an answer are the queue, wherever it stands. By Little's law a new one waits as long as that queue
takes at the present rate of answers. Each partition is a queue of its own: a hot or broken one costs others nothing.

- Below SOON_S all are taken. A burst is no overload: nothing is refused before the oldest has waited for OLD_S either.
- From there to WAIT_S as many are taken as are answered, so the queue does not grow. A slow machine that keeps
  up stays there, and refuses little.
- Above WAIT_S none are taken, but for SPARE that are always under way. They find out when it goes on.

A device repeats a SEND that was not answered in FORGET_S. So nobody waits for an older one any more, and it is no part
of the queue. Nothing here is about order or durability: a refused SEND was passed on to nobody, and the device repeats
it under the same key.
"""

from __future__ import annotations

from collections import deque
from typing import Final

SOON_S: Final = 0.5
WAIT_S: Final = 1.0
OLD_S: Final = 0.25
SPARE: Final = 4
FORGET_S: Final = 2.0
"""The time after which a device repeats a SEND (ClientSettings.ack_timeout_s)."""
LATE_S: Final = 0.5
"""With its loop this late a gateway takes no SENDs: what it reads has waited in the socket for as long."""
RETRY_S: Final = (0.2, 3.0)
_BUCKET_S: Final = 0.1
_SPAN: Final = 10
"""Buckets over which a rate is measured: a second."""

Key = tuple[int, int]
"""The connection's number and the client_seq."""


class _Rate:
    """Counts what happened in the last second."""

    __slots__ = ("_buckets", "_sum")

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque()
        self._sum = 0

    def add(self, now_s: float) -> None:
        bucket, count = int(now_s / _BUCKET_S), 1
        if self._buckets and self._buckets[-1][0] == bucket:
            count += self._buckets.pop()[1]
        self._buckets.append((bucket, count))
        self._sum += 1

    def per_s(self, now_s: float) -> float:
        begin = int(now_s / _BUCKET_S) - _SPAN
        while self._buckets and self._buckets[0][0] <= begin:
            self._sum -= self._buckets.popleft()[1]
        return self._sum / (_SPAN * _BUCKET_S)


class _Lane:
    """The SENDs of one partition that have no answer yet."""

    __slots__ = ("answered", "asked", "taken")

    def __init__(self) -> None:
        self.asked: dict[Key, float] = {}
        """Key -> when it was passed on, the oldest first."""
        self.taken = _Rate()
        self.answered = _Rate()

    def forget(self, now_s: float) -> None:
        while self.asked:
            key = next(iter(self.asked))
            if now_s - self.asked[key] < FORGET_S:
                return
            del self.asked[key]

    def wait_s(self, now_s: float) -> float:
        """Return 0 if a SEND can be taken now, else how long the queue takes."""
        self.forget(now_s)
        if len(self.asked) <= SPARE or now_s - next(iter(self.asked.values())) <= OLD_S:
            return 0.0
        rate = self.answered.per_s(now_s)
        wait_s = len(self.asked) / rate if rate else FORGET_S
        if wait_s <= SOON_S or (wait_s <= WAIT_S and self.taken.per_s(now_s) < rate):
            return 0.0
        return wait_s


class Admission:
    """The queues of one gateway. Times are in seconds of one monotonic clock."""

    def __init__(self, partitions: int) -> None:
        self._lanes = [_Lane() for _ in range(partitions)]
        self.late_s = 0.0
        """How late the gateway's loop is at present; its owner's to set."""
        self.refused = 0

    @property
    def waiting(self) -> int:
        """The SENDs without an answer."""
        return sum(len(lane.asked) for lane in self._lanes)

    def refuses(self, partition: int, now_s: float) -> float:
        """Return 0 to take a SEND of this partition now, else the seconds after which to try again."""
        wait_s = self._lanes[partition].wait_s(now_s)
        if self.late_s > LATE_S:
            wait_s = max(wait_s, self.late_s)
        if not wait_s:
            return 0.0
        self.refused += 1
        return min(max(wait_s, RETRY_S[0]), RETRY_S[1])

    def passed_on(self, partition: int, key: Key, now_s: float) -> None:
        """Note that a SEND left for a chat service."""
        lane = self._lanes[partition]
        lane.asked.pop(key, None)  # a repetition waits from now on
        lane.asked[key] = now_s
        lane.taken.add(now_s)

    def answered(self, partition: int, key: Key, now_s: float) -> None:
        """Note an ACK or a NACK."""
        lane = self._lanes[partition]
        if lane.asked.pop(key, None) is not None:
            lane.answered.add(now_s)
