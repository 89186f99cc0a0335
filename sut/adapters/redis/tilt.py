"""A Sentinel's TILT, and the down-after time with which a failover still happens. Pure.

A Sentinel that was not run for 2 s, or whose clock was set, does not trust what it sees. For TILT_S it watches and
answers, and starts no failover. If the master dies meanwhile, the Sentinels start to judge only after that. A replica
that has been without its master for too long by then is never promoted (src/sentinel.c, Redis 6.2 to 7.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

TILT_S: Final = 30.0
LINK_DOWN_FACTOR: Final = 10
"""A replica can be promoted only if its link to the master was down for at most this many down-after times.

That time counts up to the moment when the master is taken for down.
"""
DOWN_AFTER_MS: Final = 4_000
"""The silence in milliseconds after which a Sentinel takes the master for down.

Seen with Redis 6.2, for a master that died in the stall that caused the TILT. With 4,000 and with 5,000 it is replaced
31 s later; with 1,500 it never is. 4 s allow 40 s without a master: 30 s of TILT, a silence of 4 s before it, and
stalls of 6 s.
"""


class SeesTilt(Protocol):
    """The part of a Sentinel's answer that concerns TILT."""

    @property
    def tilt(self) -> bool:
        """True while the Sentinel is in TILT."""


def tilt_problem(views: Mapping[str, SeesTilt | None]) -> str | None:
    """Return why no failover is possible now, in one line; None if most Sentinels could start one.

    `views`: the view of each Sentinel by name; None for one that does not answer.
    """
    tilted = sorted(name for name, view in views.items() if view is not None and view.tilt)
    if not tilted or 2 * (len(views) - len(tilted)) > len(views):
        return None
    who = f"{', '.join(tilted)} {'is' if len(tilted) == 1 else 'are'} in TILT"
    return f"{who} (not run for 2 s, or the clock was set): no failover for up to {TILT_S:g} s"
