"""The values of the page, ready to print: the template only places them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl
from markupsafe import Markup

from chaos.verdict.history.history import History
from chaos.verdict.model import CheckResult, Counts, FaultResult, Percentiles, Verdict
from chaos.verdict.relations.facts import facts_of
from dashboards.report import series, told
from dashboards.report.budget import BudgetView, budget_view
from dashboards.report.commands import commands
from dashboards.report.figures import (
    Figure,
    backlog_figure,
    bands_of,
    connections_figure,
    label_of,
    lanes_of,
    latency_figure,
    online_figure,
    throughput_figure,
)
from dashboards.report.heat import draw_heat, half_octaves
from dashboards.report.hops import Budget
from dashboards.report.lanes import Lane, draw_lanes
from dashboards.report.metrics import connections, read_usage
from dashboards.report.series import Grid
from dashboards.report.story import StoryTable, stories
from dashboards.report.svg import framed
from dashboards.report.usage import UsageTable, usage_table
from dashboards.report.wording import NONE, felt, milliseconds, moment, seconds, thousands, why

MAX_EXAMPLES = 10
"""Maximum number of counterexamples of a check on the page; verdict.json has them all."""
MAX_NOTES = 50
MAX_STORIES = 6


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One count. `wrong`: it should be 0 and is not."""

    name: str
    value: str
    wrong: bool = False


@dataclass(frozen=True, kw_only=True)
class CheckRow:
    """One check; `more` counts the counterexamples left out."""

    name: str
    verdict: str
    detail: str
    examples: Sequence[str]
    more: int


@dataclass(frozen=True, kw_only=True)
class LatencyRow:
    """The latencies of one set of deliveries."""

    name: str
    values: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class FaultRow:
    """One fault, with the same label as in the plots."""

    label: str
    name: str
    target: str
    span: str
    effective: bool
    healed: bool
    recovery: str
    worst_p99: str
    reconnects: str
    late: str
    worst: str
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """The values of report.html.j2."""

    verdict: str
    why: str
    experiment: str
    seed: int
    began: str
    facts: Sequence[tuple[str, str]]
    traffic: Sequence[Tile]
    anomalies: Sequence[Tile]
    checks: Sequence[CheckRow]
    stories: Sequence[StoryTable]
    lanes: Markup | None
    figures: Sequence[Figure]
    latency: Sequence[LatencyRow]
    latency_notes: Sequence[str]
    heat: Markup
    bound_ms: str
    hops: BudgetView | None
    faults: Sequence[FaultRow]
    usage: UsageTable
    notes: Sequence[str]
    environment: Sequence[tuple[str, str]]
    commands: Sequence[tuple[str, str]]
    grid_json: Markup

    @property
    def sections(self) -> list[tuple[str, str]]:
        """Name and anchor of each section on the page, in order."""
        there = [("Counts", "counts")]
        if self.verdict != "valid":
            there.append(("Checks", "checks"))
        if self.stories:
            there.append(("Counterexample", "story"))
        there += [("Timeline", "timeline"), ("Latency", "latency")]
        if self.hops:
            there.append(("Hops", "hops"))
        if self.faults:
            there.append(("Faults", "faults"))
        if self.verdict == "valid":
            there.append(("Checks", "checks"))
        if self.usage.rows:
            there.append(("Processes", "usage"))
        if self.notes:
            there.append(("History", "notes"))
        return [*there, ("Environment", "environment"), ("Run it again", "again")]


def build(verdict: Verdict, history: History, run_dir: Path, budget: Budget | None, *, shipped: bool) -> Page:
    """Compute all values and plots of the page. Polars scans the events a few times in all."""
    grid = _grid(verdict, history)
    lanes = lanes_of(verdict.faults, stop_s=grid.stop_s, cap_s=history.bounds.recovery_s)
    bands = bands_of(lanes)
    bound_ms = history.bounds.latency_ms
    facts, usage = facts_of(history), read_usage(run_dir, origin_ns=grid.origin_ns)
    nacked = facts.of("nack").filter(pl.col("arg") == 1)  # definitely
    answered = pl.concat([facts.acks, nacked], how="diagonal").unique(["conv", "msg"], keep="first")
    figures = [
        latency_figure(series.latency(facts.samples, grid), grid, bands=bands, bound_ms=bound_ms),
        throughput_figure(series.rates(history.events, grid, ("send", "ack", "show")), grid, bands=bands),
        backlog_figure(series.backlog(facts.sends, answered, facts.samples, grid), grid, bands=bands),
        online_figure(series.online(history.events, grid), grid, bands=bands),
        connections_figure(connections(usage, grid), grid, bands=bands),
    ]
    counted = half_octaves(facts.samples, grid)
    return Page(
        verdict=verdict.verdict,
        why=why(verdict),
        experiment=verdict.experiment,
        seed=verdict.seed,
        began=moment(history.start_ns),
        facts=_facts(verdict),
        traffic=_traffic(verdict, bound_ms=bound_ms),
        anomalies=_anomalies(verdict.counts),
        checks=[_check(check) for check in sorted(verdict.checks, key=lambda check: _RANK[check.verdict])],
        stories=stories(verdict, history, most=MAX_STORIES),
        lanes=framed(lambda frame: draw_lanes(lanes, grid, frame)) if lanes else None,
        figures=[figure for figure in figures if figure],
        latency=[
            _latency("Steady", verdict.latency_ms.steady),
            *([_latency("In fault windows", told.in_windows(history))] if lanes else []),
            _latency("All", verdict.latency_ms.all),
        ],
        latency_notes=told.notes(verdict, history, lanes),
        heat=framed(lambda frame: draw_heat(counted, grid, bands, frame)) if counted.height else Markup(""),
        bound_ms=f"{bound_ms:g}",
        hops=budget_view(budget),
        faults=[_fault(place, fault, lanes, history) for place, fault in enumerate(verdict.faults)],
        usage=usage_table(usage, grid, bands=bands),
        notes=_notes(history),
        environment=_environment(verdict, run_dir),
        commands=commands(verdict, run_dir, shipped=shipped),
        grid_json=_grid_json(grid),
    )


_PROVENANCE = {
    "started": "Started", "version": "Version", "commit": "Commit", "python": "Python", "machine": "Machine",
    "kernel": "Kernel", "load": "Load before", "servers": "Servers",
}  # fmt: skip
_OPTIONS = ("users", "at_start", "duration_s", "rate_per_s", "tier", "heartbeat_s", "groups_share", "seed")
"""The keys of swarm.json that the page shows, where they are there."""
_RANK = {"invalid": 0, "unknown": 1, "valid": 2}


def _grid(verdict: Verdict, history: History) -> Grid:
    """Return the grid from the first send or the origin, whichever is first, to the end of the load."""
    return series.grid_over(origin_ns=history.start_ns, first_ns=history.start_ns, last_ns=history.end_ns)


def _grid_json(grid: Grid) -> Markup:
    """Return the geometry for the read-out. It holds only numbers, so it is safe inside a script element."""
    numbers: dict[str, float] = {"start": grid.start_s, "step": grid.step_s, "buckets": grid.buckets}
    return Markup(msgspec.json.encode(numbers).decode())  # noqa: S704


def _facts(verdict: Verdict) -> list[tuple[str, str]]:
    return [
        ("Experiment", verdict.experiment),
        ("Profile", verdict.profile),
        ("Variant", verdict.variant or "none"),
        ("Seed", str(verdict.seed)),
        ("Duration", seconds(verdict.duration_s)),
        ("Devices", thousands(verdict.counts.devices)),
    ]


def _environment(verdict: Verdict, run_dir: Path) -> list[tuple[str, str]]:
    """Return where the run was made and with which options; what is not known is left out."""
    made = [(_PROVENANCE[name], text) for name, text in verdict.provenance.items() if name in _PROVENANCE]
    try:
        options = msgspec.json.decode((run_dir / "swarm.json").read_bytes(), type=dict[str, object])
    except (OSError, msgspec.DecodeError):
        options = {}
    chosen = [f"{name} {options[name]}" for name in _OPTIONS if isinstance(options.get(name), int | float | str)]
    return [*made, *([("Options", ", ".join(chosen))] if chosen else [])]


def _traffic(verdict: Verdict, *, bound_ms: float) -> list[Tile]:
    counts, p99 = verdict.counts, verdict.latency_ms.steady.p99
    numbers = [
        ("messages sent", counts.sends_invoked), ("acknowledged", counts.sends_acked),
        ("refused for good", counts.sends_failed), ("without an answer", counts.sends_indeterminate),
        ("refusals for now", counts.refusals),
        ("deliveries expected", counts.deliveries_expected), ("deliveries", counts.deliveries),
    ]  # fmt: skip
    latency = Tile(name="ms, steady p99", value=milliseconds(p99), wrong=p99 is not None and p99 > bound_ms)
    return [*(Tile(name=name, value=thousands(value)) for name, value in numbers), latency]


def _anomalies(counts: Counts) -> list[Tile]:
    numbers = [
        ("lost", counts.lost), ("duplicates", counts.duplicates), ("out of order", counts.reordered),
        ("gaps", counts.gaps), ("phantoms", counts.phantoms), ("leaks", counts.leaks),
    ]  # fmt: skip
    return [Tile(name=name, value=thousands(value), wrong=value > 0) for name, value in numbers]


def _check(check: CheckResult) -> CheckRow:
    examples = [example.text for example in check.counterexamples[:MAX_EXAMPLES]]
    more = len(check.counterexamples) - len(examples)
    return CheckRow(name=check.name, verdict=check.verdict, detail=check.detail, examples=examples, more=more)


def _latency(name: str, values: Percentiles) -> LatencyRow:
    known = (values.p50, values.p99, values.p999, values.max)
    return LatencyRow(name=name, values=[*map(milliseconds, known), thousands(values.n)])


def _fault(place: int, fault: FaultResult, lanes: Sequence[Lane], history: History) -> FaultRow:
    lost = [told.reconnects(history, lane) for lane in lanes if lane.label == label_of(place)]
    span = NONE if fault.injected_at_s is None else f"{fault.injected_at_s:.1f} to {seconds(fault.healed_at_s)}"
    return FaultRow(
        label=label_of(place), name=fault.name, target=fault.target, span=span, effective=fault.effective,
        healed=fault.healed, recovery=felt(fault.recovery.felt_s), worst_p99=milliseconds(fault.recovery.worst_p99_ms),
        reconnects=thousands(lost[0]) if lost else NONE, late=thousands(fault.recovery.late),
        worst=milliseconds(fault.recovery.worst_ms), evidence=fault.evidence,
    )  # fmt: skip


def _notes(history: History) -> list[str]:
    notes = list(history.notes[:MAX_NOTES])
    if len(history.notes) > MAX_NOTES:
        notes.append(f"and {len(history.notes) - MAX_NOTES} more")
    return notes
