"""What people felt of a fault: the deliveries that were due in its window, second by second.

Seconds count from the injection. The first also holds what was due up to the bound of latency before: that was on its
way. The last one ends with the window, or when the next fault strikes after the heal. A second is late if the p99 of
its deliveries is above the bound.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.model import Recovery
from chaos.verdict.percentiles import nearest_rank
from chaos.verdict.relations.base import SECOND


def due_in(samples: pl.DataFrame, *, inject_ns: int, end_ns: int, lead_ns: int) -> pl.DataFrame:
    """Return the samples that were due in the window, with the number of their second in column `second`."""
    rows = samples.filter((pl.col("due") >= inject_ns - lead_ns) & (pl.col("due") < end_ns))
    return rows.with_columns(second=((pl.col("due") - inject_ns) // SECOND).clip(0))


def p99_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return second and p99 (in ns) of each second in which something was due, by time."""
    return rows.group_by("second").agg(p99=nearest_rank(pl.col("latency_ns"), 0.99)).sort("second")


def recovery_of(rows: pl.DataFrame, *, span_s: float, bound_ns: int, back: bool) -> Recovery:
    """Return what the rows of `due_in` add up to; `span_s`: the length of the window.

    `back`: the end of the window was measured, so p99 is within the bound from there on.
    """
    if not rows.height:
        return Recovery()
    seconds = p99_of(rows)
    late = rows.filter(pl.col("latency_ns") > bound_ns)
    last = seconds.filter(pl.col("p99") > bound_ns)["second"].to_list()[-1:]
    felt_s = min(last[0] + 1.0, span_s) if last else 0.0
    return Recovery(
        felt_s=round(felt_s, 3) if back else None,
        worst_p99_ms=_ms(seconds["p99"].to_list()),
        late=late.height,
        worst_ms=_ms(rows["latency_ns"].to_list()),
    )


def _ms(values: list[int]) -> float:
    return round(max(values) / 1e6, 3)
