"""Orders the reads of devices: in turn, those that catch up behind those that follow live, a limited number at once.

After a gateway dies thousands of devices come back together and ask for all they missed. Requests at one moment wait
somewhere. Here they wait where they can be sorted, so that the queues behind (a sequencer's, the store's) stay short.
Each connection gets one read in its turn, and has few in progress: the pages of a flood would fill the link to its
gateway, where the others' messages wait behind them. A connection whose SYNC listed much to fetch counts as behind
until it has asked nothing for a while. Its reads wait while connections that follow live are served, except for one
read in four. A repeated question replaces the one that still waits. One that has waited for PATIENCE_S is refused
instead of started: its device has repeated it by now, perhaps at another chat service, and nobody waits for the answer.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

WIDTH: Final = 128
"""Reads in progress: enough for a sequencer that takes 10 ms, few enough for it to answer all in that time."""
WIDTH_OF_ONE: Final = 4
"""Reads in progress of one connection: 80 KB of pages of 100 small messages."""
MAX_WAITING: Final = 20_000
PATIENCE_S: Final = 4.0
"""A device repeats a question after 2 s (ClientSettings.fetch_timeout_s); on a slow link it may wait longer."""
MAX_WAITING_OF_ONE: Final = 16
"""Waiting reads of one connection. A device has at most 8 FETCHes, 4 HISTORYs and a SYNC in flight."""
LIVE_IN_A_ROW: Final = 3
"""Live reads between two reads of connections that are behind, when both wait."""
AHEAD: Final = 4
"""A SYNC that lists more conversations than this marks its connection as behind."""
BEHIND_S: Final = 2.0
"""Seconds without reads after which a connection no longer counts as behind."""
MAX_BEHIND: Final = 100_000

Flow = tuple[str, int, int]
"""A connection: gateway, gateway incarnation, number."""
Start = Callable[[], None]


def _nothing() -> None:
    pass


class _Read(NamedTuple):
    start: Start
    refuse: Callable[[], None]
    since_s: float


class _Lane:
    """Connections in turn, each with its waiting reads in order."""

    def __init__(self) -> None:
        self._flows: OrderedDict[Flow, dict[Hashable, _Read]] = OrderedDict()
        self.waiting = 0

    def put(self, flow: Flow, key: Hashable, read: _Read) -> bool:
        asked = self._flows.setdefault(flow, {})
        if key not in asked:
            if len(asked) >= MAX_WAITING_OF_ONE:
                return False
            self.waiting += 1
        asked[key] = read
        return True

    def next(self, free: Callable[[Flow], bool]) -> tuple[Flow, _Read] | None:
        """Take the next read of a connection that is `free` to have one more; None if there is none."""
        flow = next((flow for flow in self._flows if free(flow)), None)
        if flow is None:
            return None
        asked = self._flows.pop(flow)
        read = asked.pop(next(iter(asked)))
        if asked:
            self._flows[flow] = asked
        self.waiting -= 1
        return flow, read


class FairReads:
    """Reads of one destination. Call `offer` for each request, and `done` when a started read has ended."""

    def __init__(self, *, width: int = WIDTH, clock: Callable[[], float] = time.monotonic) -> None:
        self._width = width
        self._clock = clock
        self._live = _Lane()
        self._behind = _Lane()
        self._live_in_a_row = 0
        self._of: Counter[Flow] = Counter()
        """Reads in progress of each connection."""
        self.under_way = 0
        self.dropped = 0
        """Reads that were refused because they had waited too long."""

    @property
    def waiting(self) -> int:
        """Reads that wait for their turn."""
        return self._live.waiting + self._behind.waiting

    def offer(self, flow: Flow, key: Hashable, start: Start, *, behind: bool, refuse: Start = _nothing) -> bool:
        """Start it now or in its turn; `key` identifies the question. False: too much waits already.

        `refuse` is called instead of `start` if it has waited too long when its turn comes.
        """
        # As long as there is room, only connections that have enough in progress have reads that wait.
        if self.under_way < self._width and self._free(flow):
            self._begin(flow)
            start()
            return True
        if self.waiting >= MAX_WAITING:
            return False
        return (self._behind if behind else self._live).put(flow, key, _Read(start, refuse, self._clock()))

    def done(self, flow: Flow) -> None:
        """Start the next read, because a started one of this connection has ended, with or without success."""
        self.under_way -= 1
        self._of[flow] -= 1
        if not self._of[flow]:
            del self._of[flow]
        while self.under_way < self._width and (following := self._next()) is not None:
            flow, read = following
            if self._clock() - read.since_s > PATIENCE_S:
                self.dropped += 1
                read.refuse()
                continue
            self._begin(flow)
            read.start()

    def _begin(self, flow: Flow) -> None:
        self.under_way += 1
        self._of[flow] += 1

    def _free(self, flow: Flow) -> bool:
        return self._of[flow] < WIDTH_OF_ONE

    def _next(self) -> tuple[Flow, _Read] | None:
        if self._behind.waiting and self._live_in_a_row >= LIVE_IN_A_ROW:
            self._live_in_a_row = 0
            return self._behind.next(self._free) or self._live.next(self._free)
        if (read := self._live.next(self._free)) is not None:
            self._live_in_a_row += self._behind.waiting > 0
            return read
        self._live_in_a_row = 0
        return self._behind.next(self._free)


class Behind:
    """The connections that are catching up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen_s: OrderedDict[Flow, float] = OrderedDict()

    def note(self, flow: Flow, ahead: int) -> None:
        """Record that a SYNC of this connection listed `ahead` conversations."""
        if ahead > AHEAD:
            self._seen_s[flow] = self._clock()
            self._seen_s.move_to_end(flow)
            while len(self._seen_s) > MAX_BEHIND:
                self._seen_s.popitem(last=False)

    def asks(self, flow: Flow) -> bool:
        """Return True if a connection that asks now is behind."""
        seen_s = self._seen_s.get(flow)
        if seen_s is None:
            return False
        now_s = self._clock()
        if now_s - seen_s > BEHIND_S:
            del self._seen_s[flow]
            return False
        self._seen_s[flow] = now_s
        return True
