"""All deliveries as a heat map: time across, latency in half octaves upwards, five shades by the share of a column."""

from __future__ import annotations

import math
from collections import defaultdict

import polars as pl
from markupsafe import Markup

from dashboards.report.scales import short
from dashboards.report.series import Grid
from dashboards.report.svg import BOTTOM, TOP, Band, Frame, draw_bands, number, tag, time_scale

ROW = 9.0
COLUMNS = {"wide": 180, "narrow": 60}
"""Most columns of each frame: the page's size does not depend on the length of a run."""
SHADES = 5
LEAST_MS = 1.0


def half_octaves(samples: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """Return bucket, row and count: row 0 is below 1 ms, each other one is 1.41 times as high as the one below."""
    milliseconds = pl.col("latency_ns") / 1e6
    row = pl.when(milliseconds < LEAST_MS).then(0).otherwise(1 + (2 * milliseconds.log(2)).floor()).cast(pl.Int64)
    return samples.group_by(grid.index("due"), row.alias("row")).agg(count=pl.len()).sort("bucket", "row")


def draw_heat(counted: pl.DataFrame, grid: Grid, bands: list[Band], frame: Frame) -> Markup:
    """Return the heat map of `half_octaves`, with the fault windows below it; empty without deliveries."""
    inside = counted.filter(pl.col("bucket").is_between(0, grid.buckets - 1))
    if not inside.height:
        return Markup("")
    stride = math.ceil(grid.buckets / COLUMNS[frame.name])
    cells: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for bucket, row, count in inside.iter_rows():
        column = cells[bucket // stride]
        column[row] = column.get(row, 0) + count
    rows = max(max(column) for column in cells.values()) + 1
    height = TOP + ROW * rows + BOTTOM
    base, x = height - BOTTOM, time_scale(grid, frame)
    width = (x.stop - x.start) * stride / grid.buckets
    shades: defaultdict[int, list[str]] = defaultdict(list)
    for place, column in sorted(cells.items()):
        most = max(column.values())
        left = x(grid.start_s + place * stride * grid.step_s)
        for row, count in column.items():
            shade = min(SHADES, 1 + int(SHADES * math.sqrt(count / most) - 1e-9))
            shades[shade].append(
                f"M{number(left)} {number(base - ROW * row - 0.5)}h{number(width)}v-{ROW - 1}h-{number(width)}z"
            )
    parts = [draw_bands(bands, x, top=TOP, base=base)]
    parts += [tag("path", class_=f"heat s{shade}", d="".join(paths)) for shade, paths in sorted(shades.items())]
    for row in range(1, rows + 1, 4):
        value = 2 ** ((row - 1) / 2)
        label = f"{short(value)} ms" if value < 1000 else f"{short(value / 1000)} s"
        parts.append(tag("text", label, class_="tick y", x=float(frame.left - 6), y=base - ROW * row + 4))
    parts.append(tag("line", class_="axis", x1=x.start, x2=x.stop, y1=base, y2=base))
    for value in x.ticks():
        at = min(x(value), x.stop - 10)
        parts.append(tag("text", f"{short(value)} s", class_="tick x", x=at, y=base + 18))
    key, total = f"heat-{frame.name}", int(inside["count"].sum())
    said = f"{total:,} deliveries by the time when they were due and by their latency; dark: most of a column's."
    return tag(
        "svg", tag("title", "Latency of all deliveries", id=f"{key}-title"), tag("desc", said, id=f"{key}-desc"),
        *parts, viewBox=f"0 0 {frame.width} {number(height)}", role="img", aria_labelledby=f"{key}-title {key}-desc",
    )  # fmt: skip
