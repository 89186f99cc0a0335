"""How often somebody may do something: a token bucket for each key, in a bounded table. Pure; the caller has the clock.

Of this process only: with several API processes each gives its own allowance. The bucket that was used longest ago goes
when the table is full; one that is full again says nothing anyway.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

MAX_BUCKETS: Final = 100_000


class Allowance:
    """`burst` at once, and `per_s` more with time."""

    def __init__(self, *, burst: float, per_s: float, max_buckets: int = MAX_BUCKETS) -> None:
        self._burst = burst
        self._per_s = per_s
        self._max = max_buckets
        self._buckets: dict[Hashable, tuple[float, float]] = {}
        """Key -> (what is left, as of when)."""

    def take(self, key: Hashable, now_s: float) -> bool:
        """Whether it may be done once more now; if so, it counts. `now_s`: of a clock that never goes back."""
        left, as_of = self._buckets.pop(key, (self._burst, now_s))
        left = min(self._burst, left + (now_s - as_of) * self._per_s)
        allowed = left >= 1
        self._buckets[key] = (left - 1 if allowed else left, now_s)
        if len(self._buckets) > self._max:
            del self._buckets[next(iter(self._buckets))]
        return allowed

    def __len__(self) -> int:
        return len(self._buckets)
