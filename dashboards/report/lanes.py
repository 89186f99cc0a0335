"""The faults of a run as lanes over the page's time axis, and sparklines of the same parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dashboards.report.scales import Linear
from dashboards.report.series import Grid
from dashboards.report.svg import (
    BOTTOM,
    WIDE_FRAME,
    Band,
    Frame,
    draw_bands,
    number,
    path_data,
    tag,
    time_scale,
)  # fmt: skip

ROW = 24.0
BAR = 12.0
TEXT_WIDTH = 6.4
"""Approximate width of a character of a lane's name, to keep it inside the picture."""


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One fault: when it was in force, until when its effects lasted (both in seconds), and its name."""

    label: str
    name: str
    start_s: float
    stop_s: float
    recovered_s: float | None
    effective: bool
    healed: bool


def draw_lanes(lanes: Sequence[Lane], grid: Grid, frame: Frame = WIDE_FRAME) -> Markup:
    """Return one row per fault: its number, a bar while it was in force, a hatched tail until recovery, its name."""
    x = time_scale(grid, frame)
    height = ROW * len(lanes) + BOTTOM
    base = height - BOTTOM
    parts: list[Markup] = []
    for row, lane in enumerate(lanes):
        middle = ROW * row + ROW / 2
        top = middle - BAR / 2
        left, right = x(lane.start_s), max(x(lane.stop_s), x(lane.start_s) + 2)
        end = right
        parts.append(tag("line", class_="grid", x1=float(frame.left), x2=float(frame.stop), y1=middle, y2=middle))
        parts.append(tag("text", lane.label, class_="tick y strong", x=float(frame.left - 8), y=middle + 4))
        if lane.recovered_s is not None and x(lane.recovered_s) > right:
            end = x(lane.recovered_s)
            parts.append(tag("rect", class_="band recovery", x=right, y=top, width=end - right, height=BAR))
        kind = "fault" if lane.effective else "missed"
        parts.append(tag("rect", class_=f"bar {kind}", x=left, y=top, width=right - left, height=BAR))
        note = "" if lane.effective else " (did not take effect)"
        note += "" if lane.healed else " (not healed)"
        text = lane.name + note
        if TEXT_WIDTH * len(text) < frame.stop - frame.left - 40:  # else only its number fits, and the table names it
            fits = end + 8 + TEXT_WIDTH * len(text) < frame.stop
            at, anchor = (end + 8, "start") if fits else (left - 8, "end")
            if not fits and at - TEXT_WIDTH * len(text) < frame.left:
                continue
            parts.append(tag("text", text, class_="lane-name", x=at, y=middle + 4, text_anchor=anchor))
    parts.append(tag("line", class_="axis", x1=x.start, x2=x.stop, y1=base, y2=base))
    for value in x.ticks():
        parts.append(tag("line", class_="axis", x1=x(value), x2=x(value), y1=base, y2=base + 4))
        parts.append(tag("text", f"{number(value)} s", class_="tick x", x=min(x(value), x.stop - 10), y=base + 18))
    summary = "; ".join(f"{lane.label} {lane.name} from {lane.start_s:.1f} s to {lane.stop_s:.1f} s" for lane in lanes)
    return tag(
        "svg",
        tag("title", "When each fault was in force", id=f"lanes-{frame.name}-title"),
        tag("desc", summary, id=f"lanes-{frame.name}-desc"),
        *parts,
        tag("line", class_="cursor", x1=0.0, x2=0.0, y1=0.0, y2=base, visibility="hidden"),
        viewBox=f"0 0 {frame.width} {number(height)}", role="img",
        data_left=str(frame.left), data_right=str(frame.stop),
        aria_labelledby=f"lanes-{frame.name}-title lanes-{frame.name}-desc",
    )  # fmt: skip


SPARK_WIDTH = 220.0
SPARK_HEIGHT = 34.0


def sparkline(
    points: Sequence[tuple[float, float | None]],
    *,
    grid: Grid,
    highest: float,
    bands: Sequence[Band],
    title: str,
) -> Markup:
    """Return one quantity over the run, from 0 to `highest`, with the fault windows behind it."""
    x = Linear(low=grid.start_s, high=grid.stop_s, start=1, stop=SPARK_WIDTH - 1)
    y = Linear(low=0, high=highest if highest > 0 else 1.0, start=SPARK_HEIGHT - 2, stop=2)
    line = path_data((x(at), None if value is None else y(value)) for at, value in points)
    return tag(
        "svg",
        tag("title", title),
        draw_bands(bands, x, top=0, base=SPARK_HEIGHT),
        tag("line", class_="axis", x1=0.0, x2=SPARK_WIDTH, y1=SPARK_HEIGHT - 1, y2=SPARK_HEIGHT - 1),
        tag("path", class_="line spark", d=line),
        viewBox=f"0 0 {number(SPARK_WIDTH)} {number(SPARK_HEIGHT)}", role="img", class_="sparkline",
    )  # fmt: skip
