"""Whether notifications for this gateway's devices may have been lost: the number behind RESYNC.

A notification finds its way only while our lease lives (the registry then shows the routes) and while every
sequencer has a link to us. Each event that may have cost notifications moves the mark by one; while one of the two
conditions does not hold, every look at it does. A session compares the mark with the one of its last BEAT.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


class Losses:
    """The mark of one gateway. Times are of one monotonic clock, in seconds."""

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
        """A link from this node is up. Others than sequencers (probes, the API) do not count."""
        self._count_link(node, 1)

    def unlinked(self, node: str) -> None:
        """A link from this node is gone; a restarted node may have a newer one already."""
        self._count_link(node, -1)

    def _count_link(self, node: str, change: int) -> None:
        if node in self._sequencers:
            self._links[node] += change
            self._all_linked = all(self._links[name] > 0 for name in self._sequencers)
            self.note()

    def lease_renewed(self, *, asked_s: float, now_s: float, ttl_s: float) -> bool:
        """The lease asked for at `asked_s` was granted. Returns whether it may have lapsed before."""
        lapsed = now_s > self._lease_until_s
        if lapsed:
            self.note()
        self._lease_until_s = asked_s + ttl_s
        return lapsed

    def whole(self, now_s: float) -> bool:
        """Whether notifications can reach us: the lease certainly lives and every sequencer is linked."""
        return self._all_linked and now_s <= self._lease_until_s

    def mark(self, now_s: float) -> int:
        """Return the mark as of now."""
        if not self.whole(now_s):
            self._mark += 1
        return self._mark
