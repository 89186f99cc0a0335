"""A rate limit: a token bucket for each key, in a bounded table. Pure; the caller has the clock.

It covers this process only: each of several API processes has its own allowance. When the table is full, the bucket
that was used longest ago is dropped. A full bucket needs no entry anyway.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

MAX_BUCKETS: Final = 100_000


class Allowance:
    """Allows `burst` uses at once, and `per_s` more each second."""

    def __init__(self, *, burst: float, per_s: float, max_buckets: int = MAX_BUCKETS) -> None:
        self._burst = burst
        self._per_s = per_s
        self._max = max_buckets
        self._buckets: dict[Hashable, tuple[float, float]] = {}
        """Key -> (uses left, at which time in seconds)."""

    def take(self, key: Hashable, now_s: float) -> bool:
        """Return True and count the use if it is allowed now. `now_s`: from a clock that never goes back."""
        left, as_of = self._buckets.pop(key, (self._burst, now_s))
        left = min(self._burst, left + (now_s - as_of) * self._per_s)
        allowed = left >= 1
        self._buckets[key] = (left - 1 if allowed else left, now_s)
        if len(self._buckets) > self._max:
            del self._buckets[next(iter(self._buckets))]
        return allowed

    def __len__(self) -> int:
        return len(self._buckets)
