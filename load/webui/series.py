"""What the page draws over time: one point a second, from cumulative counters, so a lost report loses nothing.

A point holds the counters as they were, and the latencies of what was shown since the point before.
"""

from __future__ import annotations

from typing import Final

import msgspec

from load.drive.desk import Counts
from load.history.latency import Histogram
from load.history.recorder import Counters

MAX_POINTS: Final = 1200
"""Twice this many points are merged in pairs: the page's size does not depend on the length of a test."""


class Point(msgspec.Struct, array_like=True):
    """One moment; JSON is a list in this order. Percentiles are ms; None: nothing was shown since the point before."""

    t_s: float
    """Seconds since the first point."""
    sends: int
    acked: int
    shown: int
    online: int
    drops: int
    outstanding: int | None
    suspicious: int | None
    p50: float | None
    p95: float | None
    p99: float | None
    highest: float | None
    rows: list[int]
    """Counts by half octaves (load.history.latency)."""


class Series:
    """The points of one test."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.made = 0
        """Changes when old points were merged: who has some of them begins anew."""
        self.begin_s = 0.0
        """The first point, in seconds since the epoch."""
        self._last = Histogram()
        self._merged: list[Histogram] = []

    def add(self, at_s: float, counters: Counters, shown: Histogram, counts: Counts | None) -> None:
        """Add the state at a moment, in seconds since the epoch. `shown`: all latencies so far."""
        if not self.points:
            self.begin_s = at_s
        since, self._last = shown.since(self._last), shown
        self._merged.append(since)
        self.points.append(_point(at_s - self.begin_s, counters, since, counts))
        if len(self.points) >= 2 * MAX_POINTS:
            self._halve()

    def _halve(self) -> None:
        """Merge each two points; the later one's counters stay."""
        self.made += 1
        merged = []
        for place in range(1, len(self._merged), 2):
            both = Histogram()
            both.merge(self._merged[place - 1])
            both.merge(self._merged[place])
            merged.append(both)
            _set_latency(self.points[place], both)
        self._merged = merged
        self.points = self.points[1::2]


def _point(t_s: float, counters: Counters, since: Histogram, counts: Counts | None) -> Point:
    point = Point(
        t_s=round(t_s, 2), sends=counters.sends, acked=counters.acked, shown=counters.shown, online=counters.online,
        drops=counters.drops, outstanding=counts.outstanding if counts else None,
        suspicious=counts.suspicious if counts else None, p50=None, p95=None, p99=None, highest=None, rows=[],
    )  # fmt: skip
    _set_latency(point, since)
    return point


def _set_latency(point: Point, since: Histogram) -> None:
    if not since.count:
        return
    point.p50, point.p95, point.p99, point.highest = (round(since.percentile_ms(p), 2) for p in (50, 95, 99, 100))
    rows = since.half_octaves()
    while rows and not rows[-1]:
        rows.pop()
    point.rows = rows
