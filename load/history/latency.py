"""Latencies as a log-bucketed histogram: integers only, 864 buckets, at most 1.6 % error, mergeable across processes.

Each power of two is cut into 32 equal buckets, so the error is relative: a microsecond and a minute are equally well
known. Times are counted from when the workload wanted the operation, not from when it got round to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

MAX_US: Final = (1 << 30) - 1
"""About 18 minutes; longer ones count as this long (`max_us` still tells the truth)."""
_BITS: Final = 6
_HALF: Final = 1 << (_BITS - 1)
BUCKETS: Final = _HALF * (30 - _BITS) + (1 << _BITS)


def bucket_of(us: int) -> int:
    """The bucket of a time in microseconds; negative ones count as 0."""
    if us < 1 << _BITS:
        return max(0, us)
    us = min(us, MAX_US)
    shift = us.bit_length() - _BITS
    return _HALF * shift + (us >> shift)


def middle_of(bucket: int) -> int:
    """The time in microseconds that stands for a bucket."""
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
        """The time in milliseconds that `percent` of all stay at or below (nearest rank); 0 when there are none."""
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

    def export(self) -> dict[str, int]:
        """The non-empty buckets and the maximum, for a message to another process."""
        return {"max": self.max_us} | {str(i): count for i, count in enumerate(self._counts) if count}

    @classmethod
    def load(cls, exported: Mapping[str, int]) -> Histogram:
        """What `export` gave. Raises ValueError or IndexError for anything else."""
        histogram = cls()
        for key, count in exported.items():
            if key == "max":
                histogram.max_us = count
            else:
                histogram._counts[int(key)] = count
                histogram.count += count
        return histogram
