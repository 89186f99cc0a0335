"""How slow the whole system was: the time until which most of what was due came late.

A machine that is not fit for a run makes everything late. A defect makes some things late, or loses them, and the rest
goes on. So the median tells one from the other.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from chaos.verdict.relations.base import EVER, SECOND

SPAN_NS: Final = 5 * SECOND
"""The deliveries that were due in this long a time are looked at together."""
ENOUGH: Final = 10
"""Fewer deliveries than this have no median worth the name."""
SLOW_PART: Final = 4
"""The system is slow if half of the deliveries take longer than this part of a bound. Those of a system that works take
milliseconds, half a second on a machine that is full."""


def slow_spans(samples: pl.DataFrame, bound_ns: int) -> list[tuple[int, int]]:
    """Return (start, caught up) of each slow span, in ns and by time. `samples`: see Facts.samples."""
    spans = samples.group_by(span=pl.col("due") // SPAN_NS).agg(
        number=pl.len(), median=pl.col("latency_ns").median(), caught_up=pl.col("t").median()
    )
    slow = spans.filter(pl.col("number") >= ENOUGH, pl.col("median") > bound_ns / SLOW_PART).sort("span")
    return [(span * SPAN_NS, round(caught_up)) for span, caught_up in slow.select("span", "caught_up").iter_rows()]


def slow_until(samples: pl.DataFrame, bound_ns: int) -> int:
    """Return when the last slow span had caught up, in ns; EVER if there was none."""
    return max((end for _, end in slow_spans(samples, bound_ns)), default=EVER)


def had_no_time(rows: pl.DataFrame, until_ns: int, bound_ns: int, *, since: str, end: str = "end") -> int:
    """Return how many of the rows, never shown, had no whole bound of time after the system was slow.

    A row counts if it was due (`since`) before `until_ns`, and its device was there (`end`) for less than a bound after
    that.
    """
    return rows.filter(pl.col("shown").is_null(), pl.col(since) < until_ns, pl.col(end) < until_ns + bound_ns).height
