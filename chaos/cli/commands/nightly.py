"""`petrel nightly` and `petrel hunt`: many runs within a budget, and the command that repeats what was found."""

from __future__ import annotations

import argparse
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.cli.asked import check_profile, check_redis, check_variant
from chaos.cli.command import a_path, as_json, command, profile, variant
from chaos.cli.say import fail, note, print_json
from chaos.errors import VALID, HarnessError, UsageError

if TYPE_CHECKING:
    from chaos.run.nightly import Plan
    from chaos.verdict.summary import Summary

EXPERIMENTS: Final = ("quick", "everything")
DIRECTORY: Final = Path("runs/nights")


def _common(sub: argparse.ArgumentParser, *, minutes: float, directory: str) -> None:
    sub.add_argument(
        "--budget-min", type=float, default=minutes, metavar="N", help=f"for all runs; default: {minutes:g}"
    )
    sub.add_argument("--dir", type=a_path, metavar="DIR", help=directory)
    sub.add_argument("--seed", type=int, metavar="N", help="of the choice of seeds; random if not given")


def _of_a_night(sub: argparse.ArgumentParser) -> None:
    default = " ".join(EXPERIMENTS)
    sub.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=f"run in turn; default: {default}")
    _common(sub, minutes=60.0, directory=f"kept between nights; default: {DIRECTORY}")


def _of_a_hunt(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "experiments", nargs="*", metavar="EXPERIMENT", help="default: that which shows the variant, or quick"
    )
    _common(sub, minutes=10.0, directory="new or empty; default: one in runs/")


@command(
    "nightly",
    "run as much as fits into a budget, and cover what was not covered",
    _of_a_night,
    profile,
    variant,
    as_json,
)
def nightly(options: argparse.Namespace) -> int:
    """Run experiments in turn until the budget is used up or one run is invalid; returns the worst run's status."""
    return _run(options, tuple(options.experiments) or EXPERIMENTS, options.dir or DIRECTORY)


@command(
    "hunt",
    "run seed after seed until a run is invalid, or the budget is used up",
    _of_a_hunt,
    profile,
    variant,
    as_json,
)
def hunt(options: argparse.Namespace) -> int:
    """Look for a run that is invalid."""
    from chaos.run import rundir
    from sut import variants

    check_variant(options.variant)
    shown_in = variants.find(options.variant).shown_in if options.variant else "quick"
    directory = options.dir or rundir.default_path("hunt", int(time.time()) % 100_000)
    rundir.check_new(directory)
    return _run(options, tuple(options.experiments) or (shown_in,), directory)


def _run(options: argparse.Namespace, experiments: tuple[str, ...], directory: Path) -> int:
    from chaos.run import nightly
    from chaos.run.interrupt import Aborted
    from dashboards import nights

    plan = _plan(options, experiments)
    try:
        done = nightly.night(plan, directory, say=note)
        page = nights.render(directory / "nights.html", nightly.read(directory))
    except Aborted:
        raise HarnessError("interrupted twice: the run was ended at once") from None
    except OSError as error:
        raise HarnessError(f"{error.filename}: {error.strerror}") from None
    if options.json:
        print_json({"runs": done, "page": str(page)})
    return _told(done, page)


def _plan(options: argparse.Namespace, experiments: tuple[str, ...]) -> Plan:
    from chaos.run import feasible
    from chaos.run.nightly import Plan

    if not 0 < options.budget_min <= 24 * 60:
        raise UsageError(f"--budget-min is above 0 and at most 1440, not {options.budget_min:g}")
    check_profile(options.profile)
    check_variant(options.variant)
    check_redis()
    return Plan(
        experiments=tuple((name, feasible.load(name, profile=options.profile)) for name in experiments),
        profile=options.profile,
        variant=options.variant,
        budget_s=60 * options.budget_min,
        seed=secrets.randbelow(1 << 31) if options.seed is None else options.seed,
    )


def _told(done: list[Summary], page: Path) -> int:
    from chaos.run import nightly

    status = nightly.status_of(done)
    counts = [(word, sum(run.verdict == word for run in done)) for word in ("valid", "invalid", "unknown", "harness")]
    said = ", ".join(f"{number} {word}" for word, number in counts if number)
    worst = [run for word in ("invalid", "harness", "unknown") for run in done if run.verdict == word]
    if status == VALID or not worst:
        note(f"{said}; {page}")
        return status
    run = worst[0]
    return fail(f"{said}; {page}; {run.experiment}, seed {run.seed}: {run.why}; again: {run.again}", status)
