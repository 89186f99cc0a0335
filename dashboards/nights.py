"""The page of all nights: the newest runs, the trend of each experiment and fault, and what has been covered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markupsafe import Markup

from chaos.verdict.summary import THIRDS, Summary, covered_by
from dashboards.report import write
from dashboards.report.scales import Linear, linear_from_zero, short
from dashboards.report.svg import number, path_data, tag
from dashboards.report.wording import milliseconds

MAX_RUNS: Final = 100
WIDTH: Final = 360.0
HEIGHT: Final = 64.0
ROOM: Final = 48.0
"""For the highest value, beside the line."""


@dataclass(frozen=True, kw_only=True)
class Trend:
    """One quantity over the runs that have it, the oldest first."""

    name: str
    of: str
    picture: Markup
    last: str
    median: str
    worst: str


@dataclass(frozen=True, kw_only=True)
class Covered:
    """How many targets of a fault were broken in each third of a run."""

    experiment: str
    fault: str
    targets: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Page:
    """The values of nights.html.j2."""

    verdict: str
    why: str
    runs: Sequence[Summary]
    trends: Sequence[Trend]
    thirds: Sequence[str]
    coverage: Sequence[Covered]


def render(path: Path, summaries: Sequence[Summary]) -> Path:
    """Write the page, whole or not at all, and return its path. Raises OSError."""
    newest = [run for run in summaries if run.night == summaries[-1].night] if summaries else []
    page = Page(
        verdict=_worst(newest),
        why=_why(newest),
        runs=list(reversed(summaries))[:MAX_RUNS],
        trends=[*_trends(summaries)],
        thirds=THIRDS,
        coverage=_coverage(summaries),
    )
    return write(path, "nights.html.j2", page)


def _worst(runs: Iterable[Summary]) -> str:
    """The verdict of a night: what its worst run says."""
    verdicts = {run.verdict for run in runs}
    if "invalid" in verdicts:
        return "invalid"
    return "valid" if verdicts == {"valid"} else "unknown"


def _why(runs: Sequence[Summary]) -> str:
    if not runs:
        return "no run yet"
    for word in ("invalid", "harness", "unknown"):
        for run in runs:
            if run.verdict == word:
                return f"{run.experiment}, seed {run.seed}: {run.why}"
    return f"all {len(runs)} runs of the newest night are valid"


def _trends(summaries: Sequence[Summary]) -> Iterable[Trend]:
    """The steady p99 of each experiment, and the worst second of each fault."""
    steady: dict[str, list[float]] = defaultdict(list)
    faults: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in summaries:
        where = run.experiment if run.profile == "embedded" else f"{run.experiment} on {run.profile}"
        if run.p99_ms is not None:
            steady[where].append(run.p99_ms)
        for fault, worst in run.worst_p99_ms.items():
            faults[where, fault].append(worst)
    for where, values in steady.items():
        yield _trend(where, "steady p99, ms", values)
    for (where, fault), values in sorted(faults.items()):
        yield _trend(fault, f"p99 of its worst second in {where}, ms", values)


def _trend(name: str, of: str, values: Sequence[float]) -> Trend:
    ordered = sorted(values)
    return Trend(
        name=name,
        of=of,
        picture=_line(f"{name}, {of}", values),
        last=milliseconds(values[-1]),
        median=milliseconds(ordered[(len(ordered) - 1) // 2]),
        worst=milliseconds(ordered[-1]),
    )


def _line(title: str, values: Sequence[float]) -> Markup:
    y = linear_from_zero(max(values), start=HEIGHT - 6, stop=8)
    x = Linear(low=0, high=max(1, len(values) - 1), start=6, stop=WIDTH - ROOM)
    points = [(x(place), y(value)) for place, value in enumerate(values)]
    dots = [tag("circle", class_="dot", cx=left, cy=top, r=2.5) for left, top in points]
    return tag(
        "svg",
        tag("title", title),
        tag("line", class_="grid", x1=6.0, x2=WIDTH - ROOM, y1=y(y.high), y2=y(y.high)),
        tag("text", short(y.high), class_="tick", x=WIDTH - ROOM + 6, y=y(y.high) + 4),
        tag("path", class_="line a", d=path_data(points)),
        *dots,
        viewBox=f"0 0 {number(WIDTH)} {number(HEIGHT)}",
        role="img",
    )


def _coverage(summaries: Sequence[Summary]) -> list[Covered]:
    found: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: {third: set() for third in THIRDS})
    for one in covered_by(summaries):
        found[one.experiment, one.fault][one.third].add(one.target)
    return [
        Covered(experiment=experiment, fault=fault, targets=[len(found[experiment, fault][third]) for third in THIRDS])
        for experiment, fault in sorted(found)
    ]
