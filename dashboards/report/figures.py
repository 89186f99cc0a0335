"""The plots of the page: their quantities, axes and fault windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
from markupsafe import Markup

from chaos.verdict.model import FaultResult
from dashboards.report.lanes import Lane
from dashboards.report.scales import Scale, linear_from_zero, log_around, short
from dashboards.report.series import Grid, Latency, Values
from dashboards.report.svg import Band, BandKind, Line, Plot, Rule, draw, framed, y_range

TALL = 300.0
LOW = 190.0
STYLES = "abcdef"
"""Styles of lines in report.css."""
MAX_LINES = len(STYLES)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One drawing of a figure; `scale` is the kind of its y axis."""

    scale: str
    svg: Markup


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A titled plot with its legend, in one or two scales, and the values for the read-out."""

    key: str
    title: str
    legend: Sequence[Line]
    plots: Sequence[Picture]

    @property
    def values_json(self) -> str:
        """The values of each bucket, for each line of the legend, as JSON."""
        return msgspec.json.encode([line.values for line in self.legend]).decode()


def label_of(place: int) -> str:
    """Return the page's label of the fault at a place of the verdict's list."""
    return f"f{place + 1}"


def lanes_of(faults: Sequence[FaultResult], *, stop_s: float, cap_s: float) -> list[Lane]:
    """Return the faults that happened, as lanes.

    A fault that was never healed lasts to the end of the page. If the system was not seen to recover, the window ends
    `cap_s` after the healing, as in the latency check.
    """
    return [
        Lane(
            label=label_of(place),
            name=f"{fault.name} {fault.target}",
            start_s=fault.injected_at_s,
            stop_s=stop_s if fault.healed_at_s is None else fault.healed_at_s,
            recovered_s=recovered_s(fault, cap_s=cap_s),
            effective=fault.effective,
            healed=fault.healed,
        )
        for place, fault in enumerate(faults)
        if fault.injected_at_s is not None
    ]


def recovered_s(fault: FaultResult, *, cap_s: float) -> float | None:
    """Return when a fault's window ends, in s; None if it was not proven healed."""
    if fault.healed_at_s is None or not fault.healed:
        return None
    return fault.healed_at_s + (cap_s if fault.recovery_s is None else fault.recovery_s)


def bands_of(lanes: Sequence[Lane]) -> list[Band]:
    """Return the spans to shade behind a plot: each fault, and its recovery."""
    bands: list[Band] = []
    for lane in lanes:
        span = f"{lane.label} {lane.name}, {lane.start_s:.1f} s to {lane.stop_s:.1f} s"
        kind: BandKind = "fault" if lane.effective else "missed"
        detail = span if lane.effective else f"{span}; did not take effect"
        bands.append(Band(start_s=lane.start_s, stop_s=lane.stop_s, kind=kind, label=lane.label, detail=detail))
        if lane.recovered_s is not None and lane.recovered_s > lane.stop_s:
            detail = (
                f"{lane.label} {lane.name}: its window ends {lane.recovered_s - lane.stop_s:.1f} s after it was healed"
            )
            bands.append(Band(start_s=lane.stop_s, stop_s=lane.recovered_s, kind="recovery", detail=detail))
    return bands


def latency_figure(latency: Latency, grid: Grid, *, bands: Sequence[Band], bound_ms: float) -> Figure | None:
    """Return p50, p99 and maximum by the second in which a message was due; None if nothing was delivered."""
    if latency.extremes is None:
        return None
    lowest, highest = latency.extremes
    lines = [
        Line(name="p50", style="b", values=latency.p50),
        Line(name="p99", style="a", values=latency.p99),
        Line(name="maximum", style="c", values=latency.highest),
    ]
    base, top = y_range(TALL)
    axes: dict[str, Scale] = {
        "log": log_around(min(lowest, bound_ms), max(highest, bound_ms), start=base, stop=top),
        "linear": linear_from_zero(max(highest, bound_ms), start=base, stop=top),
    }
    worst = max(range(grid.buckets), key=lambda bucket: latency.highest[bucket] or 0)
    description = (
        f"Milliseconds from due to shown, by the {per(grid)} in which a message was due. The slowest took "
        f"{short(highest)} ms, due {grid.start_s + worst * grid.step_s:g} s into the run."
    )
    plots = [
        _picture(
            Plot(
                key=f"latency-{scale}",
                title=f"Delivery latency over time, {scale} scale",
                description=description,
                unit="ms",
                grid=grid,
                lines=lines,
                y=axis,
                height=TALL,
                bands=bands,
                rules=[Rule(value=bound_ms, label=f"bound of the steady p99: {bound_ms:g} ms")],
            ),
            scale=scale,
        )
        for scale, axis in axes.items()
    ]
    return Figure(key="latency", title="Delivery latency (ms)", legend=lines, plots=plots)


def throughput_figure(rates: dict[str, Values], grid: Grid, *, bands: Sequence[Band]) -> Figure:
    """Return the messages sent, acknowledged and shown per second."""
    lines = [
        Line(name="shown", style="a", values=rates["show"]),
        Line(name="sent", style="b", values=rates["send"]),
        Line(name="acknowledged", style="c", values=rates["ack"]),
    ]
    return _simple("throughput", "Throughput (messages/s)", "1/s", lines, grid, bands=bands)


def backlog_figure(backlog: dict[str, Values], grid: Grid, *, bands: Sequence[Band]) -> Figure:
    """Return what is under way at the end of each second: sends without an answer, deliveries not shown yet."""
    lines = [
        Line(name="deliveries not shown yet", style="a", values=backlog["deliveries"]),
        Line(name="sends without an answer", style="b", values=backlog["sends"]),
    ]
    return _simple("backlog", "Backlog", "", lines, grid, bands=bands)


def connections_figure(connections: dict[str, Values], grid: Grid, *, bands: Sequence[Band]) -> Figure | None:
    """Return the connections of each gateway, the sum of those beyond MAX_LINES; None if they are not known."""
    if not connections:
        return None
    named = list(connections.items())
    if len(named) > MAX_LINES:
        rest = [values for _, values in named[MAX_LINES - 1 :]]
        summed: Values = [sum(known) if (known := [v for v in at if v is not None]) else None
                          for at in zip(*rest, strict=True)]  # fmt: skip
        named = [*named[: MAX_LINES - 1], (f"{len(rest)} more together", summed)]
    lines = [Line(name=name, style=STYLES[place], values=values) for place, (name, values) in enumerate(named)]
    return _simple("connections", "Connections of each gateway (a gap: no answer)", "", lines, grid, bands=bands)


def online_figure(online: Values, grid: Grid, *, bands: Sequence[Band]) -> Figure:
    """Return the number of devices that are connected and caught up."""
    lines = [Line(name="online", style="a", values=online)]
    return _simple("online", "Devices online", "devices", lines, grid, bands=bands)


def per(grid: Grid) -> str:
    """Return the width of a bucket in words."""
    return "second" if grid.step_s == 1 else f"{grid.step_s:g} seconds"


def _simple(key: str, title: str, unit: str, lines: Sequence[Line], grid: Grid, *, bands: Sequence[Band]) -> Figure:
    base, top = y_range(LOW)
    highest = max((value for line in lines for value in line.values if value is not None), default=0)
    described = ", ".join(
        f"{line.name} up to {short(max((v for v in line.values if v is not None), default=0))}" for line in lines
    )
    plot = Plot(
        key=key, title=f"{title} over time", description=f"{described}.", unit=unit, grid=grid, lines=lines,
        y=linear_from_zero(highest, start=base, stop=top), height=LOW, bands=bands,
    )  # fmt: skip
    return Figure(key=key, title=title, legend=lines, plots=[_picture(plot, scale="linear")])


def _picture(plot: Plot, *, scale: str) -> Picture:
    return Picture(scale=scale, svg=framed(lambda frame: draw(replace(plot, frame=frame))))
