"""The number behind RESYNC, which rises when notifications for this gateway's devices may have been lost.

A notification arrives only while our lease lives (the registry then shows the routes) and while every sequencer has a
link to us. Each event that may have lost notifications raises the mark by one. While one of the two conditions does
not hold, every read of the mark raises it. A session compares the mark with the one of its last BEAT.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


class Losses:
    """The mark of one gateway. Times are in seconds of one monotonic clock."""

    def __init__(self, sequencers: Iterable[str]) -> None:
        self._sequencers = frozenset(sequencers)
        self._links: Counter[str] = Counter()
        self._all_linked = not self._sequencers
        self._lease_until_s = 0.0
        self._mark = 0

    def note(self) -> None:
        """Note that notifications may have been lost."""
        self._mark += 1

    def linked(self, node: str) -> None:
        """A link from this node is up. Nodes other than sequencers (probes, the API) do not count."""
        self._count_link(node, 1)

    def unlinked(self, node: str) -> None:
        """A link from this node is gone. A restarted node may have a newer one already."""
        self._count_link(node, -1)

    def _count_link(self, node: str, change: int) -> None:
        if node in self._sequencers:
            self._links[node] += change
            self._all_linked = all(self._links[name] > 0 for name in self._sequencers)
            self.note()

    @property
    def lease_until_s(self) -> float:
        """Until when the lease certainly lives."""
        return self._lease_until_s

    def lease_renewed(self, *, asked_s: float, now_s: float, ttl_s: float) -> bool:
        """Record a lease granted for a request sent at `asked_s`. Returns True if it may have lapsed before."""
        lapsed = now_s > self._lease_until_s
        if lapsed:
            self.note()
        self._lease_until_s = asked_s + ttl_s
        return lapsed

    def whole(self, now_s: float) -> bool:
        """Return True if notifications can reach us: the lease certainly lives and every sequencer is linked."""
        return self._all_linked and now_s <= self._lease_until_s

    def mark(self, now_s: float) -> int:
        """Return the mark at the time `now_s`."""
        if not self.whole(now_s):
            self._mark += 1
        return self._mark
