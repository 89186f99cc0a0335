"""Many runs within a budget of time: seeds are chosen by what their schedules break that no earlier run broke.

A night runs experiments in turn. Each run is `petrel run` in a process of its own. Its summary goes to a file that the
nights share, DIR/nights.jsonl: coverage and trends come from it. The night ends with the budget, or with the first run
that is invalid. Ctrl-C ends the run in good order, and the night with it.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from chaos.errors import HARNESS, UNKNOWN, UsageError
from chaos.run import apart, schedule, sketch
from chaos.run.experiment import Experiment
from chaos.run.interrupt import Interrupt
from chaos.verdict.model import STATUS, FaultResult, Verdict
from chaos.verdict.summary import Combination, Summary, combinations, covered_by

CANDIDATES: Final = 64
"""How many seeds are looked at for each run. A schedule takes a millisecond to draw."""
AROUND_S: Final = 90.0
"""What a run takes beside its own duration, until the first one has told: start, ramp, drain, read-back."""


class Plan(NamedTuple):
    """What a night is to do."""

    experiments: tuple[tuple[str, Experiment], ...]
    """The name or path of each, as `petrel run` takes it, and the experiment for the profile."""
    profile: str
    variant: str | None
    budget_s: float
    seed: int


def choose(
    experiment: Experiment,
    targets: dict[str, tuple[str, ...]],
    covered: set[Combination],
    rng: random.Random,
    profile: str,
) -> tuple[int, int]:
    """Return the seed, of CANDIDATES, whose schedule breaks the most that is not covered, and how much that is."""
    best = (-1, 0)
    for _ in range(CANDIDATES):
        seed = rng.randrange(1 << 31)
        planned = schedule.plan(experiment, targets=targets, seed=seed, profile=profile)
        faults = ((fault.name, fault.target, fault.at_s) for fault in planned.faults)
        new = len(combinations(experiment.name, experiment.duration_s, faults) - covered)
        best = max(best, (new, seed), key=lambda found: found[0])
    return best[1], best[0]


def read(directory: Path) -> list[Summary]:
    """Return the summaries of all nights in this directory, the oldest first. Raises UsageError."""
    path = directory / "nights.jsonl"
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            found.append(msgspec.json.decode(line, type=Summary))
        except msgspec.DecodeError as error:
            raise UsageError(f"{path}:{number}: {error}; take the line away, or give another --dir") from None
    return found


def night(plan: Plan, directory: Path, *, say: Callable[[str], None]) -> list[Summary]:
    """Run until the budget is used up, or a run is invalid. Returns this night's summaries.

    Raises UsageError, OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    before, name = read(directory), time.strftime("%Y%m%d-%H%M%S")
    offers = {fault: offer.targets for fault, offer in sketch.offers(plan.profile).items() if offer.unavailable is None}
    deadline_s, rng = time.monotonic() + plan.budget_s, random.Random(plan.seed)
    done: list[Summary] = []
    with Interrupt() as interrupt:
        for number in itertools.count():
            asked, experiment = plan.experiments[number % len(plan.experiments)]
            left_s, needs_s = deadline_s - time.monotonic(), _needs_s(experiment, [*before, *done])
            if done and needs_s > left_s:
                break
            covered = covered_by([*before, *done])
            seed, new = choose(experiment, offers, covered, rng, plan.profile)
            run_dir = directory / name / f"{number + 1:03}-{experiment.name}-{seed}"
            say(f"run {number + 1}: {experiment.name}, seed {seed}, {new} new combinations; {left_s / 60:.0f} min left")
            summary = _run(plan, asked, experiment, seed, run_dir, night=name, over=lambda: interrupt.asked)
            _keep(summary, directory)
            done.append(summary)
            p99 = "" if summary.p99_ms is None else f", p99 {summary.p99_ms:.1f} ms"
            say(f"run {number + 1}: {summary.verdict}{p99}{f': {summary.why}' if summary.why else ''}")
            if summary.verdict == "invalid" or [one.verdict for one in done[-2:]] == ["harness", "harness"]:
                break
            if interrupt.asked:
                break
    return done


def status_of(summaries: Sequence[Summary]) -> int:
    """Return a night's exit status: 1 if a run was invalid, 70 if none had a verdict, 2 if one was unknown, else 0."""
    verdicts = {summary.verdict for summary in summaries}
    if verdicts == {"harness"}:
        return HARNESS
    for outcome in ("invalid", "unknown", "valid"):
        if outcome in verdicts:
            return STATUS[outcome] if "harness" not in verdicts or outcome == "invalid" else UNKNOWN
    return UNKNOWN


def _needs_s(experiment: Experiment, summaries: Iterable[Summary]) -> float:
    """How long a run of this experiment takes: as long as the longest one so far."""
    took = [summary.took_s for summary in summaries if summary.experiment == experiment.name]
    return max(took, default=experiment.duration_s + AROUND_S)


def _run(
    plan: Plan, asked: str, experiment: Experiment, seed: int, run_dir: Path, *, night: str, over: Callable[[], bool]
) -> Summary:
    words = ["run", asked, "--seed", str(seed), "--profile", plan.profile, "--out", str(run_dir)]
    words += ["--variant", plan.variant] if plan.variant else []
    begun_s = time.monotonic()
    verdict, why = apart.run(*words, over=over)
    summary = Summary(
        night=night, run_dir=str(run_dir), experiment=experiment.name, profile=plan.profile, seed=seed,
        variant=plan.variant, verdict="harness", why=why, took_s=round(time.monotonic() - begun_s, 1),
    )  # fmt: skip
    return summary if verdict is None else _told(summary, verdict, experiment)


def _told(summary: Summary, verdict: Verdict, experiment: Experiment) -> Summary:
    proven = [fault for fault in verdict.faults if fault.effective and fault.healed]
    deciding = [check for check in verdict.checks if check.verdict == verdict.verdict]
    why = "" if verdict.verdict == "valid" or not deciding else f"{deciding[0].name}: {deciding[0].detail}"
    faults = [(fault.name, fault.target, fault.injected_at_s or 0.0) for fault in proven]
    return msgspec.structs.replace(
        summary,
        verdict=verdict.verdict,
        why=why,
        p50_ms=verdict.latency_ms.steady.p50,
        p99_ms=verdict.latency_ms.steady.p99,
        worst_p99_ms=dict(_worst(verdict.faults)),
        covered=tuple(tuple(one) for one in sorted(combinations(experiment.name, experiment.duration_s, faults))),
        provenance=verdict.provenance,
    )


def _worst(faults: Iterable[FaultResult]) -> Iterator[tuple[str, float]]:
    found: dict[str, float] = {}
    for fault in faults:
        if fault.recovery.worst_p99_ms is not None:
            found[fault.name] = max(found.get(fault.name, 0.0), fault.recovery.worst_p99_ms)
    yield from found.items()


def _keep(summary: Summary, directory: Path) -> None:
    with (directory / "nights.jsonl").open("ab") as file:
        file.write(msgspec.json.encode(summary) + b"\n")
