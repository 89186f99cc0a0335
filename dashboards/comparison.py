"""The page that compares two runs: the verdict, both latencies over time, and every figure with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
from markupsafe import Markup

from chaos.verdict.comparison import SURE, Comparison, Side
from chaos.verdict.comparison import Figure as Quantity
from chaos.verdict.history.history import History
from chaos.verdict.model import Verdict
from chaos.verdict.relations.facts import facts_of
from dashboards.report import series, write
from dashboards.report.figures import TALL, Figure, Picture
from dashboards.report.scales import log_around, short
from dashboards.report.series import Grid, Values
from dashboards.report.svg import Line, Plot, draw, framed, y_range
from dashboards.report.wording import NONE, milliseconds, thousands

_NAMES: Final = {"p999": "p99.9"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One quantity, ready to print."""

    name: str
    of: str
    a: str
    b: str
    ratio: str
    interval: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """The values of compare.html.j2."""

    verdict: str
    why: str
    sides: Sequence[tuple[str, Side]]
    sure: str
    rows: Sequence[Row]
    figure: Figure
    grid_json: Markup


def render(path: Path, found: Comparison, a: tuple[Verdict, History], b: tuple[Verdict, History]) -> Path:
    """Write the page, whole or not at all, and return its path. Raises OSError."""
    grid = _grid(a[1], b[1])
    numbers: dict[str, float] = {"start": grid.start_s, "step": grid.step_s, "buckets": grid.buckets}
    page = Page(
        verdict=found.verdict,
        why=found.why,
        sides=[("A", found.a), ("B", found.b)],
        sure=f"{100 * SURE:g}",
        rows=[row(quantity) for quantity in found.figures],
        figure=_figure(_p99(a[1], grid), _p99(b[1], grid), grid),
        grid_json=Markup(msgspec.json.encode(numbers).decode()),  # noqa: S704 - numbers only
    )
    return write(path, "compare.html.j2", page)


def row(quantity: Quantity) -> Row:
    """Return the texts of one quantity."""
    text = milliseconds if quantity.unit == "ms" else _whole
    known = quantity.low is not None and quantity.high is not None
    return Row(
        name=_NAMES.get(quantity.name, quantity.name if quantity.of else quantity.name.replace("_", " ")),
        of=", ".join(part for part in (quantity.of, quantity.unit) if part),
        a=text(quantity.a),
        b=text(quantity.b),
        ratio=NONE if quantity.ratio is None else f"{quantity.ratio:.2f}",
        interval=f"{quantity.low:.2f} to {quantity.high:.2f}" if known else NONE,
    )


def _whole(value: float | None) -> str:
    return NONE if value is None else thousands(round(value))


def _grid(*histories: History) -> Grid:
    """Return a grid from the steady phase of each; it is as long as the longer run."""
    length_ns = max(history.end_ns - history.start_ns for history in histories)
    return series.grid_over(origin_ns=0, first_ns=0, last_ns=length_ns)


def _p99(history: History, grid: Grid) -> Values:
    moved = Grid(origin_ns=history.start_ns, start_s=grid.start_s, step_s=grid.step_s, buckets=grid.buckets)
    return series.latency(facts_of(history).samples, moved).p99


def _figure(a: Values, b: Values, grid: Grid) -> Figure:
    lines = [Line(name="B, p99", style="a", values=b), Line(name="A, p99", style="b", values=a)]
    known = [value for line in lines for value in line.values if value]
    base, top = y_range(TALL)
    highest = [short(max((value for value in values if value), default=0)) for values in (a, b)]
    plot = Plot(
        key="p99-log",
        title="p99 of each second, both runs",
        description=f"Milliseconds from due to shown. The worst second of A: {highest[0]} ms, of B: {highest[1]} ms.",
        unit="ms",
        grid=grid,
        lines=lines,
        y=log_around(min(known, default=1.0), max(known, default=1.0), start=base, stop=top),
        height=TALL,
    )
    svg = framed(lambda frame: draw(replace(plot, frame=frame)))
    return Figure(key="p99", title="p99 by second (ms)", legend=lines, plots=[Picture(scale="log", svg=svg)])
