"""A page of tables and plots over time, in the look of the report: what a simulation or a comparison found.

Whoever has the figures makes sections (chaos/screen/sheets.py); this module draws them. The file opens from disk,
offline, and has no script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from markupsafe import Markup

from dashboards.report import write
from dashboards.report.figures import LOW, Figure, Picture
from dashboards.report.scales import linear_from_zero, log_around, short
from dashboards.report.series import Grid
from dashboards.report.svg import Band, Line, Plot, draw, tag, y_range

BAR, BAR_LEFT, BAR_WIDTH = 30.0, 80.0, 700.0
"""Height, left end and greatest length of a bar, in units of the picture."""
STYLES = "abc"
"""Classes of report.css, in the order of a graph's lines."""


class Graph(Protocol):
    """Lines over time. `lines`: name -> a value a step; at most three. `fault_s`: the time to shade."""

    @property
    def key(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def lines(self) -> Mapping[str, Sequence[float]]: ...
    @property
    def step_s(self) -> float: ...
    @property
    def log(self) -> bool: ...
    @property
    def fault_s(self) -> tuple[float, float] | None: ...


class Bars(Protocol):
    """A bar a value, of one quantity: name -> value, none below 0."""

    @property
    def title(self) -> str: ...
    @property
    def bars(self) -> Mapping[str, float]: ...


class Table(Protocol):
    """Rows of texts; the first column heads its row."""

    @property
    def columns(self) -> Sequence[str]: ...
    @property
    def rows(self) -> Sequence[Sequence[str]]: ...
    @property
    def caption(self) -> str: ...


class Section(Protocol):
    """A titled part of the page."""

    @property
    def key(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def lead(self) -> str: ...
    @property
    def tables(self) -> Sequence[Table]: ...
    @property
    def graphs(self) -> Sequence[Graph]: ...
    @property
    def bars(self) -> Sequence[Bars]: ...


@dataclass(frozen=True, kw_only=True)
class Part:
    """A section with its graphs drawn."""

    section: Section
    figures: Sequence[Figure]
    pictures: Sequence[tuple[str, Markup]]
    """Title and drawing of each set of bars."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The values of sheet.html.j2."""

    title: str
    lead: str
    parts: Sequence[Part]


def render(path: Path, *, title: str, lead: str, sections: Sequence[Section]) -> Path:
    """Write the page, whole or not at all, and return its path. Raises OSError."""
    parts = [
        Part(
            section=section,
            figures=[drawn(graph) for graph in section.graphs],
            pictures=[(bars.title, drawn_bars(bars)) for bars in section.bars],
        )
        for section in sections
    ]
    return write(path, "sheet.html.j2", Sheet(title=title, lead=lead, parts=parts))


def drawn_bars(bars: Bars) -> Markup:
    """Return the bars, one below the other, each with its name and its value. All begin at 0."""
    most = max(bars.bars.values(), default=0.0) or 1.0
    parts: list[Markup] = []
    for place, (name, value) in enumerate(bars.bars.items()):
        top = 4.0 + BAR * place
        length = BAR_WIDTH * value / most
        parts += [
            tag("text", name, class_="hop-label", x=BAR_LEFT - 8, y=top + 17),
            tag("rect", class_=f"hop {'odd' if place else 'even'}", x=BAR_LEFT, y=top, width=max(length, 1.0),
                height=BAR - 6),
            tag("text", short(value), x=BAR_LEFT + length + 6, y=top + 17),
        ]  # fmt: skip
    height = 8 + BAR * len(bars.bars)
    described = ", ".join(f"{name}: {short(value)}" for name, value in bars.bars.items())
    title, box = tag("title", f"{bars.title}: {described}"), f"0 0 {BAR_LEFT + BAR_WIDTH + 90:g} {height:g}"
    return tag("svg", title, *parts, viewBox=box, role="img")


def drawn(graph: Graph) -> Figure:
    """Return the graph as a figure of the report. Values of 0 have no place on a logarithmic axis."""
    buckets = max(len(values) for values in graph.lines.values())
    grid = Grid(origin_ns=0, start_s=0.0, step_s=graph.step_s, buckets=buckets)
    lines = [
        Line(
            name=name,
            style=style,
            values=[None if graph.log and value <= 0 else float(value) for value in values],
        )
        for style, (name, values) in zip(STYLES, graph.lines.items(), strict=False)
    ]
    known = [value for line in lines for value in line.values if value is not None]
    base, top = y_range(LOW)
    y = (
        log_around(min(known, default=1.0), max(known, default=1.0), start=base, stop=top)
        if graph.log
        else linear_from_zero(max(known, default=1.0), start=base, stop=top)
    )
    described = ", ".join(
        f"{line.name} up to {short(max((value for value in line.values if value is not None), default=0))}"
        for line in lines
    )
    bands = [Band(start_s=graph.fault_s[0], stop_s=graph.fault_s[1], kind="fault")] if graph.fault_s else []
    plot = Plot(
        key=graph.key, title=graph.title, description=f"{described}.", unit=graph.unit, grid=grid, lines=lines, y=y,
        height=LOW, bands=bands,
    )  # fmt: skip
    scale = "log" if graph.log else "linear"
    return Figure(key=graph.key, title=graph.title, legend=lines, plots=[Picture(scale=scale, svg=draw(plot))])
