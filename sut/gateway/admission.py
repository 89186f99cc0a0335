"""Which SENDs a gateway takes: one that would wait too long is refused, and told when to come again. Pure.

A gateway sees the whole way of a SEND: to a chat service, into the log, through the sequencer, and back as ACK or NACK.
So the SENDs without an answer are the queue, wherever it stands. By Little's law a new one waits as long as that queue
takes at the present rate of answers. Each partition is a queue of its own: a hot or broken one costs others nothing.

- Below a wait of `soon_s` all are taken. A burst is no overload: nothing is refused before the oldest has waited for
  `old_s` either.
- From there on as many are taken as are answered, so the queue does not grow.
- `hold_s` above that none are taken, but SPARE are always under way. They find out when it goes on.

A queue of MANY is held shorter than one of few. With few a fault is the likely cause, the rate is hardly known, and who
is refused waits for longer than who is not. With many it is overload: then what is taken has to wait elsewhere too, in
sockets and for its turn in each process. With 0.5 s for all queues p99 of what was taken was 1.0 to 1.4 s at three
times the maximum. With 0.12 s it was 0.8 to 1.0 s, with 0.05 s 0.7 s, and then a quarter was refused already at the
maximum. docs/measured.md has what `petrel bench overload` says of the present values.

What an answer takes when hardly anything else is under way is no queue, and a refusal would not shorten it: a machine
that others use is slow all the time. So this time is measured, and comes on top of `soon_s`. Under overload it is not
seen, and what was seen before counts less and less.

A device repeats a SEND that was not answered in FORGET_S. So nobody waits for an older one any more, and it is no part
of the queue. Nothing here is about order or durability: a refused SEND was passed on to nobody, and the device repeats
it under the same key.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

OLD_S: Final = 0.25
MANY: Final = 16
"""SENDs without an answer, of one partition at one gateway."""
SPARE: Final = 4
FORGET_S: Final = 2.0
"""The time after which a device repeats a SEND (ClientSettings.ack_timeout_s)."""
LATE_S: Final = 0.3
"""With its loop this late a gateway takes one SEND of each partition at a time: what it reads has waited in the socket
for as long. On a machine that others use it is late all the time, and none at all would be an outage."""
RETRY_S: Final = (0.2, 1.0)
"""Bounds of what a refusal asks for. Devices double their own wait, so a short one is enough under overload; and when a
service was away they are soon back."""
UNKNOWN_S: Final = 0.5
"""What a refusal asks for while nothing at all is answered."""
MAX_ALONE_S: Final = 1.5
_ALONE_TIMES: Final = 1.5
"""More than once, so that a queue that is held low by what was seen can grow again."""
_ALONE_SHARE: Final = 0.5
_ALONE_HALVED_S: Final = 30.0
_BUCKET_S: Final = 0.1
_SPAN: Final = 10
"""Buckets over which a rate is measured: a second."""


class _Length(NamedTuple):
    """How long a queue may be, in seconds; see above."""

    soon_s: float
    hold_s: float
    old_s: float


FEW_WAIT: Final = _Length(soon_s=0.5, hold_s=0.3, old_s=OLD_S)
MANY_WAIT: Final = _Length(soon_s=0.08, hold_s=0.08, old_s=0.08)

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


class _Asked(NamedTuple):
    at_s: float
    alone: bool
    """Hardly anything else was under way."""


class _Lane:
    """The SENDs of one partition that have no answer yet."""

    __slots__ = ("_alone_at_s", "_alone_s", "_answers", "_taken", "asked")

    def __init__(self) -> None:
        self.asked: dict[Key, _Asked] = {}
        """The questions without an answer by key, the oldest first."""
        self._taken = _Rate()
        self._answers = _Rate()
        self._alone_s = self._alone_at_s = 0.0

    def take(self, key: Key, now_s: float) -> None:
        self.asked.pop(key, None)  # a repetition waits from now on
        self.asked[key] = _Asked(now_s, len(self.asked) < SPARE)
        self._taken.add(now_s)

    def answered(self, key: Key, now_s: float) -> float | None:
        asked = self.asked.pop(key, None)
        if asked is None:
            return None
        self._answers.add(now_s)
        if asked.alone:
            before_s = self.alone_s(now_s)
            self._alone_s = before_s + _ALONE_SHARE * (min(now_s - asked.at_s, MAX_ALONE_S) - before_s)
            self._alone_at_s = now_s
        return now_s - asked.at_s

    def alone_s(self, now_s: float) -> float:
        """What an answer takes that waits for no others, as far as was seen lately."""
        return float(self._alone_s * 0.5 ** ((now_s - self._alone_at_s) / _ALONE_HALVED_S))

    def _forget(self, now_s: float) -> None:
        while self.asked:
            key = next(iter(self.asked))
            if now_s - self.asked[key].at_s < FORGET_S:
                return
            del self.asked[key]

    def wait_s(self, now_s: float) -> float:
        """Return 0 if a SEND can be taken now, else how long the queue takes, as far as that is known."""
        self._forget(now_s)
        length = MANY_WAIT if len(self.asked) >= MANY else FEW_WAIT
        if len(self.asked) < SPARE or now_s - next(iter(self.asked.values())).at_s <= length.old_s:
            return 0.0
        rate = self._answers.per_s(now_s)
        if not rate:
            return UNKNOWN_S
        wait_s, soon_s = len(self.asked) / rate, length.soon_s + _ALONE_TIMES * self.alone_s(now_s)
        if wait_s <= soon_s or (wait_s <= soon_s + length.hold_s and self._taken.per_s(now_s) < rate):
            return 0.0
        return wait_s


class Admission:
    """The queues of one gateway. Times are in seconds of one monotonic clock."""

    def __init__(self, partitions: int) -> None:
        self._lanes = [_Lane() for _ in range(partitions)]
        self._late_s = self._last_late_s = 0.0
        self.refused = 0

    @property
    def waiting(self) -> int:
        """The SENDs without an answer."""
        return sum(len(lane.asked) for lane in self._lanes)

    def refuses(self, partition: int, now_s: float) -> float:
        """Return 0 to take a SEND of this partition now, else the seconds after which to try again."""
        lane = self._lanes[partition]
        wait_s = lane.wait_s(now_s)
        if self._late_s > LATE_S and lane.asked:
            wait_s = max(wait_s, self._late_s)
        if not wait_s:
            return 0.0
        self.refused += 1
        return min(max(wait_s, RETRY_S[0]), RETRY_S[1])

    def ticked(self, late_s: float) -> None:
        """Note how late the loop was with its tick. Late once: it was stopped. Late again: it has too much to do."""
        self._late_s, self._last_late_s = min(late_s, self._last_late_s), late_s

    def passed_on(self, partition: int, key: Key, now_s: float) -> None:
        """Note that a SEND left for a chat service."""
        self._lanes[partition].take(key, now_s)

    def answered(self, partition: int, key: Key, now_s: float) -> float | None:
        """Note an ACK or a NACK. Returns the seconds that it took; None if nobody waited for it any more."""
        return self._lanes[partition].answered(key, now_s)
