"""Memory and CPU of every process over the run, from RUN_DIR/metrics/*.jsonl.

One line per sample: {"t": ns, "service": name, "rss_bytes": n, "cpu_s": seconds used so far, "stats": {name: number}}.
Metrics explain a run and never judge it. A missing directory, unknown fields and unreadable lines are no errors, and
the page gives the number of unused lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from dashboards.report.series import Grid, Values

MAX_SAMPLES = 500_000
"""Maximum number of lines to read; lines beyond it count as unused."""
MAX_POINTS = 160
"""Maximum number of points of a sparkline: about its width in pixels."""


class Sample(msgspec.Struct, frozen=True):
    """The fields of one line that are used."""

    t: int
    service: str
    pid: int = 0
    rss_bytes: float | None = None
    cpu_s: float | None = None
    stats: dict[str, float | str | bool | None] = {}


@dataclass(slots=True)
class OwnNumber:
    """One of a process's own numbers over all its lives, each of which counts from 0 again.

    A number that never falls within a life is a counter: its total is the sum of where each life left it. The last
    counts of a life that was killed between two samples are not in it.
    """

    peak: float = float("-inf")
    ended: float = 0.0
    """Where earlier lives left it."""
    last: float = 0.0
    falls: bool = False

    def see(self, value: float, *, anew: bool) -> None:
        """Take one sample; `anew`: the first of another life."""
        if anew:
            self.ended += self.last
        elif value < self.last:
            self.falls = True
        self.last = value
        self.peak = max(self.peak, value)

    @property
    def total(self) -> float | None:
        """The total of a counter; None for a number that is none."""
        return None if self.falls else self.ended + self.last


@dataclass(kw_only=True)
class ServiceUsage:
    """The usage of the processes with one name. Restarts keep the name; CPU counts from 0 again after one."""

    name: str
    times_s: list[float] = field(default_factory=list)
    rss_bytes: list[float | None] = field(default_factory=list)
    cpu_cores: list[float | None] = field(default_factory=list)
    """CPU seconds per second since the sample before; None for the first sample and across a restart."""
    lives: int = 0
    """Number of processes that had the name, one after the other."""
    numbers: dict[str, OwnNumber] = field(default_factory=dict)
    connections: list[float | None] = field(default_factory=list)
    """A gateway's open connections at each sample; None for other services."""

    @property
    def peak_rss_bytes(self) -> float | None:
        """Highest sampled memory in bytes; None without samples."""
        return max((value for value in self.rss_bytes if value is not None), default=None)

    @property
    def mean_cores(self) -> float | None:
        """Mean of the samples' CPU use, in cores."""
        known = [value for value in self.cpu_cores if value is not None]
        return sum(known) / len(known) if known else None

    @property
    def peak_cores(self) -> float | None:
        """Highest CPU use between two samples, in cores."""
        return max((value for value in self.cpu_cores if value is not None), default=None)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The contents of the metrics directory."""

    services: tuple[ServiceUsage, ...]
    unused_lines: int


def read_usage(run_dir: Path, *, origin_ns: int) -> Usage:
    """Return all services by name, with times in seconds since `origin_ns`. Never raises for the files' contents."""
    samples: list[Sample] = []
    unused = 0
    decoder = msgspec.json.Decoder(Sample)
    for line in _lines(run_dir / "metrics"):
        if len(samples) == MAX_SAMPLES:
            unused += 1
            continue
        try:
            samples.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            unused += 1
    services: dict[str, ServiceUsage] = {}
    last_cpu: dict[str, tuple[int, float]] = {}
    last_pid: dict[str, int] = {}
    for sample in sorted(samples, key=lambda sample: sample.t):
        usage = services.setdefault(sample.service, ServiceUsage(name=sample.service))
        usage.times_s.append((sample.t - origin_ns) / 1e9)
        usage.rss_bytes.append(sample.rss_bytes)
        before = last_cpu.get(sample.service)
        usage.cpu_cores.append(_cores(before, sample))
        fell = before is not None and sample.cpu_s is not None and sample.cpu_s < before[1]
        anew = fell or last_pid.get(sample.service) != sample.pid
        last_pid[sample.service] = sample.pid
        usage.lives += anew
        connections = sample.stats.get("connections")
        usage.connections.append(connections if isinstance(connections, int | float) else None)
        if sample.cpu_s is not None:
            last_cpu[sample.service] = (sample.t, sample.cpu_s)
        for name, value in sample.stats.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                usage.numbers.setdefault(name, OwnNumber()).see(value, anew=anew)
    return Usage(services=tuple(services[name] for name in sorted(services)), unused_lines=unused)


def connections(usage: Usage, grid: Grid) -> dict[str, Values]:
    """Return the connections at the end of each bucket of each service that has any, by its name."""
    found: dict[str, Values] = {}
    for service in usage.services:
        if not any(service.connections):
            continue
        values: Values = [None] * grid.buckets
        for at_s, value in zip(service.times_s, service.connections, strict=True):
            bucket = int((at_s - grid.start_s) // grid.step_s)
            if 0 <= bucket < grid.buckets:
                values[bucket] = value
        found[service.name] = values
    return found


def _lines(directory: Path) -> Iterator[bytes]:
    """Yield the non-empty lines of every file; files that cannot be read are skipped."""
    for path in sorted(directory.glob("*.jsonl")):
        try:
            with path.open("rb") as file:
                yield from (line for line in file if line.strip())
        except OSError:
            continue


def _cores(before: tuple[int, float] | None, sample: Sample) -> float | None:
    if before is None or sample.cpu_s is None or sample.t <= before[0] or sample.cpu_s < before[1]:
        return None
    return (sample.cpu_s - before[1]) * 1e9 / (sample.t - before[0])


def thinned(times: list[float], values: list[float | None]) -> list[tuple[float, float | None]]:
    """Return about MAX_POINTS points at most: the highest of each stretch of samples, so that no peak is lost."""
    stride = max(1, -(-len(times) // MAX_POINTS))
    points: list[tuple[float, float | None]] = []
    for begin in range(0, len(times), stride):
        stretch = list(zip(times[begin : begin + stride], values[begin : begin + stride], strict=True))
        points.append(max(stretch, key=lambda point: float("-inf") if point[1] is None else point[1]))
    return points
