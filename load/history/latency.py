"""Latencies as a log-bucketed histogram: integers only, 864 buckets, at most 1.6 % error, mergeable across processes.

Each power of two has 32 equal buckets, so the error is relative: it is the same for a microsecond and a minute. Times
count from the planned time of the operation, not from its actual start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

MAX_US: Final = (1 << 30) - 1
"""About 18 minutes; a longer time counts as this one (`max_us` keeps the true maximum)."""
_BITS: Final = 6
_HALF: Final = 1 << (_BITS - 1)
BUCKETS: Final = _HALF * (30 - _BITS) + (1 << _BITS)

HALF_OCTAVES: Final = 34
"""Rows of a heat map: below 1 ms, then half octaves up to 65 s and above."""


def bucket_of(us: int) -> int:
    """Return the bucket of a time in microseconds; negative times count as 0."""
    if us < 1 << _BITS:
        return max(0, us)
    us = min(us, MAX_US)
    shift = us.bit_length() - _BITS
    return _HALF * shift + (us >> shift)


def middle_of(bucket: int) -> int:
    """Return the time in microseconds that represents a bucket."""
    if bucket < 1 << _BITS:
        return bucket
    shift = bucket // _HALF - 1
    low = (bucket - _HALF * shift) << shift
    return low + (1 << shift >> 1)


class Histogram:
    """Counts of latencies. Not thread-safe."""

    __slots__ = ("_counts", "count", "max_us")

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self.count = 0
        self.max_us = 0

    def add_ns(self, ns: int) -> None:
        """Count one latency, given in nanoseconds."""
        us = ns // 1000
        self._counts[bucket_of(us)] += 1
        self.count += 1
        self.max_us = max(us, self.max_us)

    def percentile_ms(self, percent: float) -> float:
        """Return the time in ms that `percent` of all stay at or below (nearest rank); 0 without latencies."""
        if not self.count:
            return 0.0
        rank = max(1, math.ceil(self.count * percent / 100))
        if rank >= self.count:
            return self.max_us / 1000
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= rank:
                return min(middle_of(bucket), self.max_us) / 1000
        raise AssertionError("the counts add up to `count`")

    def merge(self, other: Histogram) -> None:
        """Add the other's counts to these."""
        self._counts = [a + b for a, b in zip(self._counts, other._counts, strict=True)]
        self.count += other.count
        self.max_us = max(self.max_us, other.max_us)

    def since(self, earlier: Histogram) -> Histogram:
        """Return what was counted after `earlier`, an older state of this one; its maximum is exact to a bucket."""
        added = Histogram()
        added._counts = [max(0, now - before) for now, before in zip(self._counts, earlier._counts, strict=True)]
        added.count = sum(added._counts)
        last = max((bucket for bucket, count in enumerate(added._counts) if count), default=0)
        added.max_us = min(self.max_us, middle_of(last)) if last < bucket_of(self.max_us) else self.max_us
        return added

    def half_octaves(self) -> list[int]:
        """Return the counts below 1 ms, and in each of HALF_OCTAVES - 1 steps by the factor 1.41 from there."""
        rows = [0] * HALF_OCTAVES
        for bucket, count in enumerate(self._counts):
            if count:
                ms = middle_of(bucket) / 1000
                rows[0 if ms < 1 else min(HALF_OCTAVES - 1, 1 + math.floor(2 * math.log2(ms)))] += count
        return rows

    def export(self) -> dict[str, int]:
        """Return the non-empty buckets and the maximum, for a message to another process."""
        return {"max": self.max_us} | {str(i): count for i, count in enumerate(self._counts) if count}

    @classmethod
    def load(cls, exported: Mapping[str, int]) -> Histogram:
        """Return the histogram that `export` described. Raises ValueError or IndexError for anything else."""
        histogram = cls()
        for key, count in exported.items():
            if key == "max":
                histogram.max_us = count
            else:
                histogram._counts[int(key)] = count
                histogram.count += count
        return histogram
