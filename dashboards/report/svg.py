"""SVG as text: an escaping tag helper, and a time plot with bands, rules, lines and an axis on each side.

Geometry is in view-box units; the page scales the picture to its width. Colours, widths and dashes are classes of
report.css, so that one picture serves light, dark and paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from dashboards.report.scales import Linear, Scale, short
from dashboards.report.series import Grid

WIDTH = 1080
LEFT = 62
RIGHT = 14
NARROW = 380
NARROW_LEFT = 54
TOP = 26
BOTTOM = 26
LABEL_ROWS = 2
"""Band labels that would touch go to the next of this many rows."""
LABEL_GAP = 26.0


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The geometry of a picture: one for a wide page, one for a phone. The page shows the one that fits."""

    name: str
    width: int
    left: int
    right: int
    ticks: int
    """About how many numbers fit on the time axis."""

    @property
    def stop(self) -> int:
        """The right end of the plotting area."""
        return self.width - self.right


WIDE_FRAME = Frame(name="wide", width=WIDTH, left=LEFT, right=RIGHT, ticks=12)
NARROW_FRAME = Frame(name="narrow", width=NARROW, left=NARROW_LEFT, right=10, ticks=4)
FRAMES = (WIDE_FRAME, NARROW_FRAME)


def tag(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """Return an element; text is escaped, Markup is not.

    In attribute names a final `_` is dropped (`class_`) and other `_` become `-`. An attribute None is left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(number(value) if isinstance(value, float) else value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(children)
    return Markup(f"<{name}{written}>{inner}</{name}>")  # noqa: S704 - the only place that joins escaped parts


def number(value: float) -> str:
    """Return a coordinate as text: one decimal is a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def path_data(points: Iterable[tuple[float, float | None]]) -> str:
    """Return the `d` of a polyline through the points, broken where y is None; a lone point is a dot."""
    written: list[str] = []
    run = 0
    for x, y in points:
        if y is None:
            if run == 1:
                written.append("h.1")
            run = 0
            continue
        written.append(f"{'L' if run else 'M'}{number(x)} {number(y)}")
        run += 1
    if run == 1:
        written.append("h.1")
    return "".join(written)


BandKind = Literal["fault", "recovery", "missed"]
"""A fault that took effect, the time after it until the system was back to normal, a fault without effect."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """A span of time to shade, in seconds. `label` stands above it; `detail` is its hover text."""

    start_s: float
    stop_s: float
    kind: BandKind
    label: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One value per bucket, None if there is nothing to draw; `style` is a class of report.css."""

    name: str
    style: str
    values: Sequence[float | None]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A labelled horizontal line at a value, such as a bound."""

    value: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Lines over the time axis of a grid; each value is drawn in the middle of its bucket."""

    key: str
    """A name that is unique on the page; the ids of the picture's title and description begin with it."""
    title: str
    description: str
    """A text for readers who cannot see the picture."""
    unit: str
    grid: Grid
    lines: Sequence[Line]
    y: Scale
    height: float
    bands: Sequence[Band] = ()
    rules: Sequence[Rule] = ()
    frame: Frame = WIDE_FRAME


def time_scale(grid: Grid, frame: Frame = WIDE_FRAME) -> Linear:
    """Return the x axis that all plots of a page in this frame share."""
    return Linear(low=grid.start_s, high=grid.stop_s, start=frame.left, stop=frame.stop, wanted=frame.ticks)


def y_range(height: float) -> tuple[float, float]:
    """Return the pixels of the bottom and the top of the plotting area."""
    return height - BOTTOM, TOP


def draw(plot: Plot) -> Markup:
    """Return the plot as one svg element."""
    frame = plot.frame
    x = time_scale(plot.grid, frame)
    xs = [x(plot.grid.start_s + (i + 0.5) * plot.grid.step_s) for i in range(plot.grid.buckets)]
    base, top = y_range(plot.height)
    paths = [
        tag("path", class_=f"line {line.style}", d=path_data(
            (at, None if value is None else plot.y(value)) for at, value in zip(xs, line.values, strict=True)
        ))
        for line in reversed(plot.lines)  # the first on top
    ]  # fmt: skip
    rules = [
        tag(
            "line",
            class_="rule",
            x1=float(frame.left),
            x2=float(frame.stop),
            y1=plot.y(rule.value),
            y2=plot.y(rule.value),
        )
        + tag("text", rule.label, class_="rule-label", x=float(frame.stop - 4), y=plot.y(rule.value) - 5)
        for rule in plot.rules
    ]
    return tag(
        "svg",
        tag("title", plot.title, id=f"{plot.key}-{frame.name}-title"),
        tag("desc", plot.description, id=f"{plot.key}-{frame.name}-desc"),
        draw_bands(plot.bands, x, top=top, base=base),
        draw_axes(x, plot.y, unit=plot.unit, top=top, base=base),
        *paths, *rules,
        tag("line", class_="cursor", x1=0.0, x2=0.0, y1=top, y2=base, visibility="hidden"),
        viewBox=f"0 0 {frame.width} {number(plot.height)}", role="img", tabindex="0",
        data_left=str(frame.left), data_right=str(frame.stop),
        aria_labelledby=f"{plot.key}-{frame.name}-title {plot.key}-{frame.name}-desc",
    )  # fmt: skip


def framed(draw_one: Callable[[Frame], Markup]) -> Markup:
    """Return a picture in every frame; the page shows the one that fits."""
    return Markup("").join(tag("div", draw_one(frame), class_=f"frame {frame.name}") for frame in FRAMES)


def draw_axes(x: Linear, y: Scale, *, unit: str, top: float, base: float) -> Markup:
    """Return the grid lines and numbers of both axes, and the unit of y above its axis."""
    parts = [tag("text", unit, class_="unit", x=float(LEFT - 8), y=top - 11)]
    for value in y.ticks():
        parts.append(tag("line", class_="grid", x1=x.start, x2=x.stop, y1=y(value), y2=y(value)))
        parts.append(tag("text", short(value), class_="tick y", x=x.start - 8, y=y(value) + 4))
    parts.append(tag("line", class_="axis", x1=x.start, x2=x.stop, y1=base, y2=base))
    for value in x.ticks():
        parts.append(tag("line", class_="axis", x1=x(value), x2=x(value), y1=base, y2=base + 4))
        at = min(x(value), x.stop - 10)  # the last number stays inside
        parts.append(tag("text", f"{short(value)} s", class_="tick x", x=at, y=base + 18))
    return Markup("").join(parts)


def draw_bands(bands: Sequence[Band], x: Linear, *, top: float, base: float) -> Markup:
    """Return shaded spans, at least two pixels wide; labels are above, on a second row if they would touch."""
    parts: list[Markup] = []
    row_ends = [float("-inf")] * LABEL_ROWS
    for band in sorted(bands, key=lambda band: band.start_s):
        left, right = x(band.start_s), x(band.stop_s)
        width = max(right - left, 2.0)
        hover = tag("title", band.detail) if band.detail else Markup("")
        parts.append(tag("rect", hover, class_=f"band {band.kind}", x=left, y=top, width=width, height=base - top))
        if band.kind != "recovery":
            parts.append(tag("line", class_="edge", x1=left, x2=left, y1=top, y2=base))
        if band.label:
            row = next((row for row, end in enumerate(row_ends) if end <= left), LABEL_ROWS - 1)
            row_ends[row] = left + LABEL_GAP
            parts.append(tag("text", band.label, class_="band-label", x=left + 3, y=top - 4 - 11 * row))
    return Markup("").join(parts)
