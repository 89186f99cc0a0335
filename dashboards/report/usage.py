"""The processes of a run as a table: a sparkline and the extremes of memory and CPU for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dashboards.report.lanes import sparkline
from dashboards.report.metrics import OwnNumber, ServiceUsage, Usage, thinned
from dashboards.report.scales import short
from dashboards.report.series import Grid
from dashboards.report.svg import Band
from dashboards.report.wording import cores, mebibytes

GAUGES = frozenset(
    ("connections", "sockets", "rss_bytes", "users", "addresses", "chats_up", "registry_up", "routes_waiting", "whole",
     "draining", "ready", "unstored", "behind", "conversations", "reads_waiting", "cursors", "lag", "waiting")
)  # fmt: skip
"""Numbers of a process that are levels, also where they never fell."""
MAX_ROWS = 60
"""Maximum number of processes shown: those with the most memory."""


@dataclass(frozen=True, kw_only=True)
class UsageRow:
    """The usage of one process."""

    name: str
    memory: Markup
    peak_memory: str
    cpu: Markup
    mean_cpu: str
    peak_cpu: str
    lives: str
    """Says how many processes had the name, if there was more than one."""
    numbers: str
    """Its own numbers, one a line; empty if it gave none."""


@dataclass(frozen=True, kw_only=True)
class UsageTable:
    """All processes, and the number of unused lines of the metrics."""

    rows: Sequence[UsageRow]
    unused: int


def usage_table(usage: Usage, grid: Grid, *, bands: Sequence[Band]) -> UsageTable:
    """Return the table of a run; without rows if there are no metrics."""
    services = usage.services
    if len(services) > MAX_ROWS:
        largest = sorted(services, key=lambda service: -(service.peak_rss_bytes or 0))[:MAX_ROWS]
        services = tuple(service for service in services if service in largest)
    most_memory = max((service.peak_rss_bytes or 0 for service in services), default=0)
    most_cpu = max((service.peak_cores or 0 for service in services), default=0)
    plain = [Band(start_s=band.start_s, stop_s=band.stop_s, kind=band.kind) for band in bands]
    rows = [_row(service, grid, most_memory=most_memory, most_cpu=most_cpu, bands=plain) for service in services]
    return UsageTable(rows=rows, unused=usage.unused_lines)


def _row(service: ServiceUsage, grid: Grid, *, most_memory: float, most_cpu: float, bands: Sequence[Band]) -> UsageRow:
    def draw(values: list[float | None], highest: float, what: str) -> Markup:
        points = [point for point in thinned(service.times_s, values) if grid.start_s <= point[0] <= grid.stop_s]
        return sparkline(points, grid=grid, highest=highest, bands=bands, title=f"{what} of {service.name}")

    return UsageRow(
        name=service.name,
        memory=draw(service.rss_bytes, most_memory, "Memory"),
        peak_memory=mebibytes(service.peak_rss_bytes),
        cpu=draw(service.cpu_cores, most_cpu, "CPU"),
        mean_cpu=cores(service.mean_cores),
        peak_cpu=cores(service.peak_cores),
        lives=f"{service.lives} processes, one after the other" if service.lives > 1 else "",
        numbers="\n".join(_number(name, number) for name, number in sorted(service.numbers.items())),
    )


def _number(name: str, number: OwnNumber) -> str:
    """Return a counter's total over all lives, or the highest value of another number."""
    total = number.total
    if name in GAUGES or total is None:
        return f"{name} at most {short(number.peak)}"
    return f"{name} {short(total)}"
