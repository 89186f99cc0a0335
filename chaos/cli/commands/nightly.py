"""`petrel nightly`: many runs within a budget, with coverage, a trend, and the command that repeats a failure."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.cli.asked import check_profile, check_redis, check_variant
from chaos.cli.command import as_json, command, profile, variant
from chaos.cli.say import fail, note, print_json
from chaos.errors import VALID, HarnessError, UsageError

if TYPE_CHECKING:
    from chaos.verdict.summary import Summary

EXPERIMENTS: Final = ("quick", "everything")
DIRECTORY: Final = Path("runs/nights")


def _options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "experiments", nargs="*", default=EXPERIMENTS, metavar="EXPERIMENT",
        help=f"run in turn; default: {' '.join(EXPERIMENTS)}",
    )  # fmt: skip
    sub.add_argument("--budget-min", type=float, default=60.0, metavar="N", help="minutes for all runs; default: 60")
    sub.add_argument("--dir", type=Path, default=DIRECTORY, metavar="DIR", help=f"kept between nights: {DIRECTORY}")
    sub.add_argument("--seed", type=int, metavar="N", help="of the choice of seeds; random if not given")


@command(
    "nightly", "run as much as fits into a budget, and cover what was not covered", _options, profile, variant, as_json
)
def nightly(options: argparse.Namespace) -> int:
    """Run a night."""
    from chaos.run import experiment, nightly, sketch
    from chaos.run.interrupt import Aborted
    from dashboards import nights

    if not 0 < options.budget_min <= 24 * 60:
        raise UsageError(f"--budget-min is above 0 and at most 1440, not {options.budget_min:g}")
    check_profile(options.profile)
    check_variant(options.variant)
    check_redis()
    wanted = tuple(
        (name, experiment.for_profile(experiment.load(name), options.profile)) for name in options.experiments
    )
    for _, one in wanted:
        sketch.check_targets(one, options.profile)
    plan = nightly.Plan(
        experiments=wanted,
        profile=options.profile,
        variant=options.variant,
        budget_s=60 * options.budget_min,
        seed=secrets.randbelow(1 << 31) if options.seed is None else options.seed,
    )
    try:
        done = nightly.night(plan, options.dir, say=note)
        page = nights.render(options.dir / "nights.html", nightly.read(options.dir))
    except Aborted:
        raise HarnessError("interrupted twice: the run was ended at once") from None
    except OSError as error:
        raise HarnessError(f"{error.filename}: {error.strerror}") from None
    if options.json:
        print_json({"runs": done, "page": str(page)})
    return _told(done, page)


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
