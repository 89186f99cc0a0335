"""The number behind RESYNC, which rises when notifications for this gateway's devices may have been lost.

A notification arrives only while every sequencer has a link to us. While one has none, every read of the mark raises
it. Each other event that may have lost notifications raises it by one. A session compares the mark with the one of its
last BEAT.

While our lease does not live, the registry shows none of our routes. That loses nothing: we announce them
(announcer.py), and the sequencers send again what was missed until then, or say that they cannot.
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

    def lease_renewed(self, *, asked_s: float, ttl_s: float) -> None:
        """Record a lease granted for a request sent at `asked_s`."""
        self._lease_until_s = asked_s + ttl_s

    def whole(self, now_s: float) -> bool:
        """Return True if the lease certainly lives and every sequencer is linked."""
        return self._all_linked and now_s <= self._lease_until_s

    def mark(self) -> int:
        """Return the number for this read; a session whose last BEAT had a lower one is told to RESYNC."""
        if not self._all_linked:
            self._mark += 1
        return self._mark
