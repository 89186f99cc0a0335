"""Compares two runs: how much slower or faster the second is, and how sure that is.

The latencies of one second are not independent of each other: a stall makes all of them late. So the interval of a
ratio comes from a bootstrap over whole seconds. Each round draws as many seconds as there were, with replacement, from
both runs, and takes the ratio of the percentiles. The rounds are drawn with a fixed seed: the same runs give the same
bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np
import polars as pl

from chaos.verdict.model import Outcome, Verdict
from chaos.verdict.percentiles import summarise
from chaos.verdict.relations.base import SECOND

ROUNDS: Final = 1000
SURE: Final = 0.95
"""How much of the rounds an interval holds."""
STEP: Final = 0.005
"""Width of the bins of latencies in the bootstrap, as a share of the latency. What is drawn is no more exact."""
MAX_SPANS: Final = 2000
"""A run of more seconds than this is drawn by spans of several seconds, for memory's sake."""
MIN_SECONDS: Final = 10
"""Fewer seconds than this in a run give no interval."""
LIKE: Final = 0.05
"""Two runs had the same load if their devices and sends differ by no more than this share."""
PERCENTILES: Final = {"p50": 0.5, "p99": 0.99, "p999": 0.999}


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of both runs. `ratio` is b / a; `low` and `high` bound it with SURE probability; null: not known."""

    name: str
    of: str = ""
    """What the quantity is, where its name is that of a fault."""
    unit: str
    a: float | None
    b: float | None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two runs."""

    run_dir: str
    verdict: Outcome
    experiment: str
    profile: str
    variant: str | None
    seed: int
    devices: int
    sends: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`invalid`: b is worse. `unknown`: that cannot be told. `valid`: b is not worse than the tolerance."""

    verdict: Outcome
    why: str
    worse_by: float
    """The tolerance: the share by which the p99 of b may be above that of a."""
    a: Side
    b: Side
    figures: tuple[Figure, ...]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run to compare. `steady`: due and latency_ns of its steady deliveries (checks.latency.steady)."""

    run_dir: str
    verdict: Verdict
    steady: pl.DataFrame

    @property
    def side(self) -> Side:
        """What the comparison says of it."""
        found = self.verdict
        return Side(
            run_dir=self.run_dir, verdict=found.verdict, experiment=found.experiment, profile=found.profile,
            variant=found.variant, seed=found.seed, devices=found.counts.devices, sends=found.counts.sends_invoked,
        )  # fmt: skip


def compare(a: Run, b: Run, *, worse_by: float) -> Comparison:
    """Return how b differs from a; `worse_by`: the tolerance as a share (0.25: a quarter slower is no regression)."""
    figures = (*_latencies(a, b), *_counts(a.verdict, b.verdict), *_faults(a.verdict, b.verdict))
    p99 = next(figure for figure in figures if figure.name == "p99")
    verdict, why = _judged(a, b, p99, worse_by)
    return Comparison(verdict=verdict, why=why, worse_by=worse_by, a=a.side, b=b.side, figures=figures)


def _judged(a: Run, b: Run, p99: Figure, worse_by: float) -> tuple[Outcome, str]:
    if doubt := _unlike(a, b):
        return "unknown", doubt
    if a.verdict.verdict != "valid":
        return "unknown", f"{a.run_dir} is {a.verdict.verdict}: it is no measure for another run"
    if b.verdict.verdict == "invalid":
        names = [check.name for check in b.verdict.checks if check.verdict == "invalid"]
        return "invalid", f"{b.run_dir} is invalid by {', '.join(names)}"
    if b.verdict.verdict == "unknown":
        return "unknown", f"{b.run_dir} is unknown: see its checks"
    if p99.ratio is None or p99.low is None or p99.high is None:
        return "unknown", f"too few steady deliveries: an interval needs {MIN_SECONDS} seconds of them in each run"
    said = f"p99 is {p99.ratio:.2f} times that of {a.run_dir} ({p99.low:.2f} to {p99.high:.2f})"
    if p99.low > 1 + worse_by:
        return "invalid", f"{said}; {1 + worse_by:g} is allowed"
    if p99.high > 1 + worse_by:
        return "unknown", f"{said}; the interval holds {1 + worse_by:g}: a longer run tells more"
    return "valid", f"{said}; {1 + worse_by:g} is allowed"


def _unlike(a: Run, b: Run) -> str:
    """Return why the two cannot be compared; empty if they can."""
    one, other = a.side, b.side
    for what in ("experiment", "profile"):
        if getattr(one, what) != getattr(other, what):
            return f"not the same {what}: {getattr(one, what)} and {getattr(other, what)}"
    for what in ("devices", "sends"):
        x, y = getattr(one, what), getattr(other, what)
        if abs(x - y) > LIKE * max(x, y):
            return f"not the same load: {x:,} {what} and {y:,}"
    return ""


def _latencies(a: Run, b: Run) -> Iterator[Figure]:
    one, other = summarise(a.steady["latency_ns"]), summarise(b.steady["latency_ns"])
    drawn_a, drawn_b = _drawn(a.steady, seed=1), _drawn(b.steady, seed=2)
    for place, name in enumerate(PERCENTILES):
        x, y = getattr(one, name), getattr(other, name)
        low = high = None
        if drawn_a is not None and drawn_b is not None:
            ratios = drawn_b[:, place] / drawn_a[:, place]
            low, high = (round(float(value), 4) for value in np.quantile(ratios, ((1 - SURE) / 2, (1 + SURE) / 2)))
        yield Figure(name=name, unit="ms", a=x, b=y, ratio=_ratio(x, y), low=low, high=high)


def _drawn(steady: pl.DataFrame, *, seed: int) -> np.ndarray | None:
    """Return the percentiles of each round, shape (ROUNDS, percentiles), in ms; None with too few seconds."""
    if not steady.height:
        return None
    since = steady["due"].to_numpy() - int(steady["due"].to_numpy().min())
    span = SECOND * (int(since.max()) // (MAX_SPANS * SECOND) + 1)
    _, rows = np.unique(since // span, return_inverse=True)
    number = int(rows.max()) + 1
    if number < MIN_SECONDS:
        return None
    milliseconds = np.maximum(steady["latency_ns"].to_numpy() / 1e6, 1e-3)
    bins = np.floor(np.log(milliseconds) / np.log1p(STEP)).astype(np.int64)
    values, columns = np.unique(bins, return_inverse=True)
    counts = np.zeros((number, len(values)))
    np.add.at(counts, (rows, columns), 1)
    draws = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=ROUNDS)
    reached = np.cumsum(draws @ counts, axis=1)
    found = [np.argmax(reached >= np.ceil(reached[:, -1:] * part - 1e-9), axis=1) for part in PERCENTILES.values()]
    drawn: np.ndarray = np.exp((values[np.stack(found, axis=1)] + 0.5) * np.log1p(STEP))
    return drawn


def _counts(a: Verdict, b: Verdict) -> Iterator[Figure]:
    for name in ("sends_acked", "deliveries", "refusals", "lost", "duplicates"):
        x, y = float(getattr(a.counts, name)), float(getattr(b.counts, name))
        yield Figure(name=name, unit="", a=x, b=y, ratio=_ratio(x, y))


def _faults(a: Verdict, b: Verdict) -> Iterator[Figure]:
    """The worst second of each kind of fault, in both runs."""
    worst: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for side, verdict in zip(worst, (a, b), strict=True):
        for fault in verdict.faults:
            if (found := fault.recovery.worst_p99_ms) is not None:
                side[fault.name] = max(side.get(fault.name, 0.0), found)
    for name in dict.fromkeys((*worst[0], *worst[1])):
        x, y = worst[0].get(name), worst[1].get(name)
        yield Figure(name=name, of="p99 of its worst second", unit="ms", a=x, b=y, ratio=_ratio(x, y))


def _ratio(a: float | None, b: float | None) -> float | None:
    return round(b / a, 4) if a and b is not None else None
