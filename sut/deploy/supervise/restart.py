"""What the supervisor decides when a process has died: how long to wait, and as what a Redis comes back.

Pure functions of what was seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, Protocol

Address = tuple[str, int]

QUICK_DEATH_S: Final = 1.0
"""A process that lived shorter than this died at once: something is wrong with it, not done to it."""
MAX_BACKOFF_S: Final = 5.0
SENTINEL_PATIENCE_S: Final = 10.0
"""How long a dead Redis waits for a failover under way; then it comes back as what Sentinel last said."""


def wait_before_restart_s(*, restart_delay_s: float, quick_deaths: int) -> float:
    """Seconds from the death to the restart, after this many quick deaths in a row."""
    if quick_deaths == 0:
        return restart_delay_s
    return max(restart_delay_s, min(MAX_BACKOFF_S, 0.25 * 2.0 ** min(quick_deaths, 10)))


class View(Protocol):
    """What one Sentinel says (sut.adapters.redis.admin.SentinelView)."""

    @property
    def master(self) -> Address:
        """Who is master now."""

    @property
    def flags(self) -> frozenset[str]:
        """What it thinks of the master."""


class RedisStart(NamedTuple):
    """As what a Redis is to be started."""

    follow: Address | None
    """The master to follow; None: it is the master."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """The end of its command line, which overrides what Sentinel left in its configuration."""
        return ("--replicaof", *((self.follow[0], str(self.follow[1])) if self.follow else ("no", "one")))


def redis_start(
    own: Address, *, first_master: Address, views: Iterable[View], waited_s: float
) -> RedisStart | Literal["wait"]:
    """What the Sentinels' majority says; the topology's word when none answers. "wait" while a failover is under way.

    Without the wait a master that returns in the middle of its own failover would be a second master for as long as
    Sentinel needs to see it.
    """
    seen = list(views)
    if not seen:
        return RedisStart(None if own == first_master else first_master)
    master = Counter(view.master for view in seen).most_common(1)[0][0]
    if master != own:
        return RedisStart(master)
    failing_over = any(view.master != own or view.flags & {"o_down", "failover_in_progress"} for view in seen)
    return "wait" if failing_over and waited_s < SENTINEL_PATIENCE_S else RedisStart(None)
