"""The processes of a run as a table: a sparkline and the extremes of memory and CPU for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from dashboards.report.lanes import sparkline
from dashboards.report.metrics import ServiceUsage, read_usage, thinned
from dashboards.report.scales import short
from dashboards.report.series import Grid
from dashboards.report.svg import Band
from dashboards.report.wording import cores, mebibytes

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
    peaks: str
    """The maxima of its own numbers, one a line; empty if it gave none."""


@dataclass(frozen=True, kw_only=True)
class UsageTable:
    """All processes, and the number of unused lines of the metrics."""

    rows: Sequence[UsageRow]
    unused: int


def usage_table(run_dir: Path, grid: Grid, *, bands: Sequence[Band]) -> UsageTable:
    """Return the table of a run directory; without rows if there are no metrics."""
    usage = read_usage(run_dir, origin_ns=grid.origin_ns)
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
        peaks="\n".join(f"{name} {short(value)}" for name, value in sorted(service.peaks.items())),
    )
