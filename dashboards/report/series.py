"""Values per second from the events: latency, throughput, devices online. Polars counts.

A bucket is one second, or more if the run is too long for the page. So the page's size depends on MAX_BUCKETS and not
on the number of events. Times are seconds since the origin, the instant from which the faults' times in the verdict
count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from chaos.verdict.percentiles import nearest_rank

MAX_BUCKETS = 720

Values = list[float | None]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The buckets of a page: bucket i covers start_s + i * step_s up to the next."""

    origin_ns: int
    start_s: float
    step_s: float
    buckets: int

    @property
    def stop_s(self) -> float:
        """The end of the last bucket in s."""
        return self.start_s + self.buckets * self.step_s

    def index(self, column: str) -> pl.Expr:
        """Return the bucket of a time in ns, as a column named `bucket`; may lie outside the grid."""
        start_ns = self.origin_ns + round(self.start_s * 1e9)
        return ((pl.col(column) - start_ns) // round(self.step_s * 1e9)).alias("bucket")

    def spread(self, frame: pl.DataFrame, column: str, *, missing: float | None) -> Values:
        """Return one value per bucket from a frame with `bucket` and `column`; `missing` if it has none."""
        values: Values = [missing] * self.buckets
        for bucket, value in frame.select("bucket", column).iter_rows():
            if 0 <= bucket < self.buckets and value is not None:
                values[bucket] = round(float(value), 3)
        return values


def grid_over(*, origin_ns: int, first_ns: int, last_ns: int) -> Grid:
    """Return whole seconds from the first to the last time, in at most MAX_BUCKETS buckets of equal whole seconds."""
    start_s = math.floor((first_ns - origin_ns) / 1e9)
    stop_s = math.floor((last_ns - origin_ns) / 1e9) + 1
    step_s = max(1, math.ceil((stop_s - start_s) / MAX_BUCKETS))
    return Grid(
        origin_ns=origin_ns, start_s=start_s, step_s=step_s, buckets=max(1, math.ceil((stop_s - start_s) / step_s))
    )


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds per bucket of the due time; None if nothing that was due then was shown."""

    p50: Values
    p99: Values
    highest: Values

    @property
    def extremes(self) -> tuple[float, float] | None:
        """The lowest positive and the highest value; None without values."""
        known = [value for line in (self.p50, self.p99, self.highest) for value in line if value is not None]
        if not known:
            return None
        return min((value for value in known if value > 0), default=1.0), max(known)


def latency(samples: pl.DataFrame, grid: Grid) -> Latency:
    """Return the latencies per bucket from deliveries with `due` and `latency_ns`, as the verdict counts them."""
    value = pl.col("latency_ns")
    frame = samples.group_by(grid.index("due")).agg(
        p50=nearest_rank(value, 0.5) / 1e6, p99=nearest_rank(value, 0.99) / 1e6, highest=value.max() / 1e6
    )
    return Latency(**{name: grid.spread(frame, name, missing=None) for name in ("p50", "p99", "highest")})


def rates(events: pl.DataFrame, grid: Grid, kinds: Sequence[str]) -> dict[str, Values]:
    """Return the events per second of each kind."""
    frame = (
        events.filter(pl.col("e").is_in(kinds))
        .group_by("e", grid.index("t"))
        .agg((pl.len() / grid.step_s).alias("rate"))
    )
    return {kind: grid.spread(frame.filter(pl.col("e") == kind), "rate", missing=0.0) for kind in kinds}


def backlog(sent: pl.DataFrame, answered: pl.DataFrame, samples: pl.DataFrame, grid: Grid) -> dict[str, Values]:
    """Return, at the end of each bucket, the sends without an answer and the timed deliveries not shown yet.

    `sent` and `answered` have a row a message with its `t`, `samples` has a delivery's `due` and `t`.
    """
    return {
        "sends": _level(sent.select("t"), answered.select("t"), grid),
        "deliveries": _level(samples.select(t="due"), samples.select("t"), grid),
    }


def _level(come: pl.DataFrame, gone: pl.DataFrame, grid: Grid) -> Values:
    """Return how many of the first, less how many of the second, there were up to the end of each bucket."""
    steps = pl.concat([come.with_columns(change=pl.lit(1)), gone.with_columns(change=pl.lit(-1))])
    changes = steps.group_by(grid.index("t")).agg(pl.col("change").sum()).sort("bucket")
    level, values, rows = 0, [], dict(changes.rows())
    for bucket in sorted(place for place in rows if place < 0):
        level += rows[bucket]
    for bucket in range(grid.buckets):
        level += rows.get(bucket, 0)
        values.append(float(max(0, level)))
    return list(values)


def online(events: pl.DataFrame, grid: Grid) -> Values:
    """Return the devices online at the end of each bucket. A device that reports the same state twice counts once."""
    changes = (
        events.filter(pl.col("e").is_in(["online", "offline"]))
        .sort("t", maintain_order=True)
        .select(
            "t",
            (pl.col("e") == "online").cast(pl.Int64).alias("up"),
            (pl.col("e") == "online").cast(pl.Int64).shift(1, fill_value=0).over("device").alias("was"),
        )
        .group_by(grid.index("t"))
        .agg((pl.col("up") - pl.col("was")).sum().alias("change"))
        .sort("bucket")
        .with_columns(pl.col("change").cum_sum().alias("level"))
    )
    levels: Values = []
    level, rows = 0.0, changes.select("bucket", "level").rows()
    position = 0
    for bucket in range(grid.buckets):
        while position < len(rows) and rows[position][0] <= bucket:
            level = float(rows[position][1])
            position += 1
        levels.append(level)
    return levels
