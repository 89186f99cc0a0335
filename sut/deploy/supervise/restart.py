"""The wait of the supervisor before it starts a process again. Pure."""

from __future__ import annotations

from typing import Final

QUICK_DEATH_S: Final = 1.0
"""A process with a shorter life died at once: something is wrong with it, no fault was done to it."""
MAX_BACKOFF_S: Final = 5.0


def wait_before_restart_s(*, restart_delay_s: float, quick_deaths: int) -> float:
    """Return the seconds from the death to the restart, after this many quick deaths in a row."""
    if quick_deaths == 0:
        return restart_delay_s
    return max(restart_delay_s, min(MAX_BACKOFF_S, 0.25 * 2.0 ** min(quick_deaths, 10)))
