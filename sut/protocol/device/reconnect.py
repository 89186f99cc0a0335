"""The waits before retries: full jitter, and the wait before the next connection.

Full jitter draws the whole wait at random below a bound that doubles. After a crash that disconnects 50,000 devices at
once, it spreads their return most evenly. A fixed delay would bring them all back at the same instant. Nothing here
reads a clock: callers add the wait to their own `now`.
"""

from __future__ import annotations

import random
from typing import Final

MAX_DOUBLINGS: Final = 32
"""Beyond this the cap was reached long ago. It keeps 2**n a small float."""
MAX_DRAIN_S: Final = 60.0
"""The longest base that a DRAIN can impose, in seconds: a faulty gateway must not send its devices away for days."""


def full_jitter(rng: random.Random, *, base_s: float, cap_s: float, attempt: int) -> float:
    """Return the seconds before retry `attempt` (0 is the first): uniform(0, min(cap_s, base_s * 2**attempt))."""
    return rng.uniform(0.0, min(cap_s, base_s * 2.0 ** min(attempt, MAX_DOUBLINGS)))


class Reconnect:
    """The waits of one device before its attempts to connect.

    Attempts are counted from the last useful connection (`succeeded`). So a gateway that accepts and drops connections
    is treated like one that refuses them.
    """

    __slots__ = ("_attempt", "_drain_s", "_fixed_s")

    def __init__(self, fixed_s: float = 0.0) -> None:
        """`fixed_s`: set only by a known-bad variant. Each wait is that long, whatever the gateway asked for."""
        self._fixed_s = fixed_s
        self._attempt = 0
        self._drain_s = 0.0

    def draining(self, base_s: float) -> float:
        """Note DRAIN: the next wait is uniform(0, base_s), whatever was tried before.

        Returns `base_s`, or MAX_DRAIN_S if that is less.
        """
        self._drain_s = min(base_s, MAX_DRAIN_S)
        return self._drain_s

    def succeeded(self) -> None:
        """Restart the count of attempts: the connection was useful."""
        self._attempt = 0

    def next_wait_s(self, rng: random.Random, *, base_s: float, cap_s: float) -> float:
        """Return the seconds to wait after a connection ended or failed. Each call counts as one attempt."""
        if self._fixed_s:
            return self._fixed_s
        if self._drain_s:
            wait_s = rng.uniform(0.0, self._drain_s)
            self._drain_s = 0.0
            return wait_s
        wait_s = full_jitter(rng, base_s=base_s, cap_s=cap_s, attempt=self._attempt)
        self._attempt += 1
        return wait_s
