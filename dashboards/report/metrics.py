"""Memory and CPU of every process over the run, from RUN_DIR/metrics/*.jsonl.

One line a sample: {"t": ns, "service": name, "rss_bytes": n, "cpu_s": seconds used so far, "stats": {name: number}}.
Metrics explain a run, they do not judge it: no directory, unknown fields and unreadable lines are all fine, and the
number of lines that could not be used is said on the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

MAX_SAMPLES = 500_000
"""Lines read in all; what is beyond is counted as not used."""
MAX_POINTS = 160
"""Points of a sparkline: it is about that many pixels wide."""


class Sample(msgspec.Struct, frozen=True):
    """One line, as far as it is used."""

    t: int
    service: str
    rss_bytes: float | None = None
    cpu_s: float | None = None
    stats: dict[str, float | str | bool | None] = {}


@dataclass(kw_only=True)
class ServiceUsage:
    """One process name's usage. Restarts keep the name; CPU counts from 0 again after one."""

    name: str
    times_s: list[float] = field(default_factory=list)
    rss_bytes: list[float | None] = field(default_factory=list)
    cpu_cores: list[float | None] = field(default_factory=list)
    """CPU seconds used a second since the sample before; None for the first sample and across a restart."""
    peaks: dict[str, float] = field(default_factory=dict)
    """The highest value of each of the process's own numbers."""

    @property
    def peak_rss_bytes(self) -> float | None:
        """Highest memory sampled."""
        return max((value for value in self.rss_bytes if value is not None), default=None)

    @property
    def mean_cores(self) -> float | None:
        """Mean of the samples' CPU share."""
        known = [value for value in self.cpu_cores if value is not None]
        return sum(known) / len(known) if known else None

    @property
    def peak_cores(self) -> float | None:
        """Highest CPU share between two samples."""
        return max((value for value in self.cpu_cores if value is not None), default=None)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What the metrics directory held."""

    services: tuple[ServiceUsage, ...]
    unused_lines: int


def read_usage(run_dir: Path, *, origin_ns: int) -> Usage:
    """All services by name; times in seconds since `origin_ns`. Never raises for what the files hold."""
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
    for sample in sorted(samples, key=lambda sample: sample.t):
        usage = services.setdefault(sample.service, ServiceUsage(name=sample.service))
        usage.times_s.append((sample.t - origin_ns) / 1e9)
        usage.rss_bytes.append(sample.rss_bytes)
        usage.cpu_cores.append(_cores(last_cpu.get(sample.service), sample))
        if sample.cpu_s is not None:
            last_cpu[sample.service] = (sample.t, sample.cpu_s)
        for name, value in sample.stats.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                usage.peaks[name] = max(value, usage.peaks.get(name, value))
    return Usage(services=tuple(services[name] for name in sorted(services)), unused_lines=unused)


def _lines(directory: Path) -> Iterator[bytes]:
    """Non-empty lines of every file there; a file that cannot be read is as one that is not there."""
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
    """At most about MAX_POINTS points: of each stretch of samples the highest, so that no peak is lost."""
    stride = max(1, -(-len(times) // MAX_POINTS))
    points: list[tuple[float, float | None]] = []
    for begin in range(0, len(times), stride):
        stretch = list(zip(times[begin : begin + stride], values[begin : begin + stride], strict=True))
        points.append(max(stretch, key=lambda point: float("-inf") if point[1] is None else point[1]))
    return points
