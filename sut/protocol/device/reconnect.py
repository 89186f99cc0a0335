"""When to try again: full jitter, and the wait before the next connection.

Full jitter draws the whole wait at random below a bound that doubles. After a crash that cuts 50,000 devices at
once, it is what spreads their return most evenly; a fixed delay would bring them all back in the same instant.
Nothing here reads a clock: callers add the wait to their own `now`.
"""

from __future__ import annotations

import random
from typing import Final

MAX_DOUBLINGS: Final = 32
"""Beyond this the cap has long been reached; it keeps 2**n a small float."""
MAX_DRAIN_S: Final = 60.0
"""Longest base a DRAIN can impose: a gateway's mistake must not send its devices away for days."""


def full_jitter(rng: random.Random, *, base_s: float, cap_s: float, attempt: int) -> float:
    """Seconds to wait before retry number `attempt` (0 is the first): uniform(0, min(cap_s, base_s * 2**attempt))."""
    return rng.uniform(0.0, min(cap_s, base_s * 2.0 ** min(attempt, MAX_DOUBLINGS)))


class Reconnect:
    """The wait before each attempt to connect, of one device.

    Attempts count from the last connection that was of use (`succeeded`), so a gateway that accepts and
    drops is backed away from like one that refuses.
    """

    __slots__ = ("_attempt", "_drain_s", "_fixed_s")

    def __init__(self, fixed_s: float = 0.0) -> None:
        """`fixed_s`: only a known-bad variant passes it. Each wait is that long, whatever the gateway asked for."""
        self._fixed_s = fixed_s
        self._attempt = 0
        self._drain_s = 0.0

    def draining(self, base_s: float) -> float:
        """The gateway asked to leave: the next wait is uniform(0, base_s), whatever was tried before.

        Returns `base_s`, or MAX_DRAIN_S if that is less.
        """
        self._drain_s = min(base_s, MAX_DRAIN_S)
        return self._drain_s

    def succeeded(self) -> None:
        """The connection was of use: the count starts again."""
        self._attempt = 0

    def next_wait_s(self, rng: random.Random, *, base_s: float, cap_s: float) -> float:
        """Seconds to wait now that a connection ended or could not be made. Each call counts as one attempt."""
        if self._fixed_s:
            return self._fixed_s
        if self._drain_s:
            wait_s = rng.uniform(0.0, self._drain_s)
            self._drain_s = 0.0
            return wait_s
        wait_s = full_jitter(rng, base_s=base_s, cap_s=cap_s, attempt=self._attempt)
        self._attempt += 1
        return wait_s
