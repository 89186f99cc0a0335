"""The time of a delivery, hop by hop: percentiles, and the hops of a typical and of a slow delivery.

A delivery counts as it does for the latency check, if its message is traced and all its stamps are there (joining.py).
Each hop begins where the one before ends, so the hops of a delivery add up to its latency. Percentiles of hops do not
add up to percentiles of the whole; the mixes show that instead. The result is also in RUN_DIR/metrics/hops.json.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import polars as pl

from chaos.verdict.checks.latency import steady
from chaos.verdict.history.history import History
from chaos.verdict.percentiles import summarise
from dashboards.report.joining import DELIVERY, TIMES, Joined
from dashboards.report.traces import read_traces

NEAR_P50: Final = (0.45, 0.55)
NEAR_P99: Final = (0.985, 0.995)
"""Ranks of the deliveries that are averaged to show the hops of a delivery near that percentile."""


class Hop(NamedTuple):
    """One part of the way, between two moments of TIMES."""

    name: str
    what: str
    own: bool = False
    """True for time in the swarm, not in the system."""
    only: str = ""
    """The column that tells whether a delivery has this hop; empty if each has."""


HOPS: Final = (
    Hop("wait", "from due until it is sent", own=True),
    Hop("repeat", "until the attempt that got through is sent", only="again"),
    Hop("gateway", "until the sender's gateway has handed it on"),
    Hop("chat", "until a chat service begins its append"),
    Hop("append", "until the log has it, durably"),
    Hop("apply", "until the sequencer has given it its number"),
    Hop("notify", "until the recipient's gateway writes to it", only="announced"),
    Hop("receive", "until the recipient has read that", own=True, only="announced"),
    Hop("fetch", "until the body is there, if it does not come with it", only="fetched"),
    Hop("catch-up", "in place of these three, if the body came first", only="brought"),
    Hop("show", "until it is displayed", own=True),
)
assert len(HOPS) == len(TIMES) - 1
MISSING: Final = {
    "body": "no arrival was recorded",
    "opened": "the recipient's gateway did not record the connection",
    "told_by": "the stamp of the notification is lost",
    "applied": "the sequencer's stamp is lost",
    "durable": "the chat service ended before it recorded the end of the append",
    "appending": "the stamp of the append's begin is lost",
    "taken": "the stamp of the chat service's receipt is lost",
    "handed_on": "the stamp of the sender's gateway is lost",
    "sent_at": "no send was recorded",
    "attempt_at": "no send was recorded before a gateway had them",
    "order": "their stamps contradict each other",
}
"""The reason why deliveries are left out, by the missing moment."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Exact percentiles in milliseconds, of `n` values."""

    p50: float | None = None
    p99: float | None = None
    max: float | None = None
    mean: float | None = None
    n: int = 0


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """The hops of some deliveries near one latency: means in ms, by hop; `total` is their sum."""

    total: float = 0.0
    n: int = 0
    hops: dict[str, float] = {}


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """The budget of some deliveries, in ms."""

    deliveries: int = 0
    messages: int = 0
    end_to_end: Spread = Spread()
    hops: dict[str, Spread] = {}
    """Over the deliveries that had the hop."""
    near_p50: Mix = Mix()
    near_p99: Mix = Mix()
    rest_ms: float = 0.0
    """The largest difference between a delivery's latency and the sum of its hops."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of metrics/hops.json."""

    every: int
    """One message in this many is traced."""
    problem: str = ""
    """The reason why there is no budget; empty if there is one."""
    traced: int = 0
    """Deliveries of traced messages."""
    complete: int = 0
    """The subset that has all its stamps."""
    repeated: int = 0
    """The subset whose first attempt did not get through."""
    read_early: int = 0
    """The subset that the sequencer read before the chat service knew the append's end; its `apply` is 0."""
    left_out: dict[str, int] = {}
    """The deliveries without all stamps, by the missing moment."""
    steady: Share | None = None
    faults: Share | None = None
    """Deliveries due in fault windows, or before the steady phase."""


def measure(history: History, run_dir: Path) -> Budget | None:
    """Return the budget of a run; None if nothing was traced."""
    traces = read_traces(run_dir)
    if not traces.stamps.height:
        return None
    if not traces.same_clock:
        problem = "the processes did not run on one machine, so the times of their stamps cannot be compared"
        return Budget(every=traces.every, problem=problem)
    if not traces.every:
        return Budget(every=0, problem="the processes did not trace the same messages")
    found = Joined(history, traces)
    rows = found.rows
    left_out = {moment: found.left_out[moment] for moment in MISSING if found.left_out[moment]}
    if not rows.height:
        problem = "no delivery of a traced message has all its stamps"
        return Budget(every=traces.every, problem=problem, traced=found.total, left_out=left_out)
    calm = rows.join(steady(history), on=DELIVERY, how="semi")
    return Budget(
        every=traces.every,
        traced=found.total,
        complete=rows.height,
        repeated=rows.filter("again").height,
        read_early=rows.filter(pl.col("durable") > pl.col("applied")).height,
        left_out=left_out,
        steady=_share(calm),
        faults=_share(rows.join(calm, on=DELIVERY, how="anti")),
    )


def _share(rows: pl.DataFrame) -> Share | None:
    if not rows.height:
        return None
    hops = zip(HOPS, pairwise(TIMES), strict=True)
    rows = rows.with_columns((pl.col(end) - pl.col(start)).alias(hop.name) for hop, (start, end) in hops)
    rows = rows.sort("latency_ns", "due", *DELIVERY)
    rest = rows.select((pl.col("latency_ns") - pl.sum_horizontal(hop.name for hop in HOPS)).abs().max()).item()
    return Share(
        deliveries=rows.height,
        messages=rows["msg"].n_unique(),
        end_to_end=_spread(rows["latency_ns"]),
        hops={hop.name: _spread((rows.filter(hop.only) if hop.only else rows)[hop.name]) for hop in HOPS},
        near_p50=_mix(rows, *NEAR_P50),
        near_p99=_mix(rows, *NEAR_P99),
        rest_ms=_ms(rest),
    )


def _spread(length_ns: pl.Series) -> Spread:
    found = summarise(length_ns)
    mean = length_ns.mean()
    return Spread(p50=found.p50, p99=found.p99, max=found.max, mean=None if mean is None else _ms(mean), n=found.n)


def _mix(rows: pl.DataFrame, low: float, high: float) -> Mix:
    """Return the means of the rows ranked from `low` to `high` by latency, at least one row."""
    first = min(int(rows.height * low), rows.height - 1)
    some = rows.slice(first, max(1, round(rows.height * (high - low))))
    means = some.select(pl.col(hop.name).mean() for hop in HOPS).row(0)
    hops = {hop.name: _ms(mean) for hop, mean in zip(HOPS, means, strict=True)}
    return Mix(total=round(sum(hops.values()), 3), n=some.height, hops=hops)


def _ms(length_ns: object) -> float:
    assert isinstance(length_ns, int | float)
    return round(length_ns / 1e6, 3)
