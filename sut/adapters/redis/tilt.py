"""What a Sentinel's TILT is, and the down-after time with which a failover comes all the same. Pure.

A Sentinel that was not run for 2 s, or whose clock was set, does not trust what it sees: for TILT_S it watches and
answers, and starts no failover. When the master dies meanwhile, the Sentinels begin to look only after that, and a
replica that has been without its master for too long by then is never promoted (src/sentinel.c, Redis 6.2 to 7.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

TILT_S: Final = 30.0
LINK_DOWN_FACTOR: Final = 10
"""A replica may have been without its master for so many down-after times when the master is taken for down."""
DOWN_AFTER_MS: Final = 4_000
"""After so long a silence a Sentinel takes the master for down. Seen with Redis 6.2: a master that died in the stall
that caused the TILT is replaced 31 s later with 4,000 and with 5,000, and never with 1,500. 4 s allow 40 s without a
master: TILT, a silence of 4 s before it that was not yet enough, and stalls of 6 s."""


class SeesTilt(Protocol):
    """What one Sentinel says."""

    @property
    def tilt(self) -> bool:
        """Whether it is in TILT."""


def tilt_problem(views: Mapping[str, SeesTilt | None]) -> str | None:
    """Why no failover can follow now, in one line; None: most Sentinels could. `views`: None of one that is silent."""
    tilted = sorted(name for name, view in views.items() if view is not None and view.tilt)
    if not tilted or 2 * (len(views) - len(tilted)) > len(views):
        return None
    who = f"{', '.join(tilted)} {'is' if len(tilted) == 1 else 'are'} in TILT"
    return f"{who} (not run for 2 s, or the clock was set): no failover for up to {TILT_S:g} s"
