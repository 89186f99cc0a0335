"""`petrel run` and `petrel replay`: run an experiment and judge it."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.cli import elsewhere, servers
from chaos.cli.asked import check_profile, check_redis, check_variant
from chaos.cli.command import as_json, command, out, profile, run_dir, scale, variant
from chaos.cli.say import caught, judged
from chaos.errors import UsageError

if TYPE_CHECKING:
    from chaos.run.experiment import Experiment
    from chaos.run.schedule import Schedule
    from sut.deploy.servers.external import Servers

EXPERIMENTS: Final = Path(__file__).parents[2] / "experiments"
"""Also defined here, so that the help need not import the reader of experiments."""


def _experiment(sub: argparse.ArgumentParser) -> None:
    shipped = ", ".join(sorted(path.stem for path in EXPERIMENTS.glob("*.yaml")))
    sub.add_argument(
        "experiment",
        metavar="EXPERIMENT",
        help=f"{shipped}, or the path of a file: ours in YAML, or one of Chaos Toolkit",
    )
    sub.add_argument("--rate", type=float, metavar="R", help="sends a second, all devices together")
    sub.add_argument(
        "--as-asked",
        action="store_true",
        help="take the experiment's rate even if this machine does not carry it",
    )
    sub.add_argument(
        "--must-be-caught",
        action="store_true",
        help="with --variant: exit 0 only if the check that the variant names says invalid, with a counterexample",
    )


@command(
    "run",
    "run an experiment and judge it",
    *(_experiment, scale, variant, profile, out, as_json, servers.options, elsewhere.options),
)
def run(options: argparse.Namespace) -> int:
    """Run an experiment with the changes of the options."""
    from chaos.run import feasible
    from chaos.toolkit import read

    check_profile(options.profile)
    theirs = servers.from_options(options, options.profile)
    played = Path(options.experiment).absolute() if read.is_one(options.experiment) else None
    if played is not None and options.topology is not None:
        raise UsageError(
            f"{options.experiment} is an experiment of Chaos Toolkit, which runs against a system of our own"
        )
    wanted = feasible.load(
        options.experiment,
        written=None if played is None else read.load_of(options.experiment),
        profile=options.profile,
        users=options.users,
        duration_s=options.duration,
        rate=options.rate,
        own_servers=theirs is None and options.topology is None,
    )
    check_variant(options.variant)
    check = _named_check(options.variant, wanted) if options.must_be_caught else None
    seed = secrets.randbelow(1 << 31) if options.seed is None else options.seed
    return _whole(
        options,
        wanted,
        seed=seed,
        profile=options.profile,
        variant=options.variant,
        theirs=theirs,
        must_be_caught_by=check,
        calibrate=not options.as_asked and options.topology is None,
        played=played,
    )


@command("replay", "run again what a run directory's schedule.yaml says", run_dir, out, as_json, servers.options)
def replay(options: argparse.Namespace) -> int:
    """Run a recorded schedule again."""
    from chaos.run import schedule, sketch

    if file := next(iter(sorted(options.run_dir.glob("chaostoolkit.*"))), None):
        raise UsageError(f"Chaos Toolkit made the faults of {options.run_dir}: petrel run {file} plays it again")
    named = any((options.kafka, options.cassandra, options.sentinels))
    recorded = schedule.load(options.run_dir / "schedule.yaml", also=_nothing if named else sketch.check_targets)
    check_profile(recorded.profile)
    theirs = servers.from_options(options, recorded.profile)
    check_variant(recorded.variant)
    return _whole(
        options,
        recorded.experiment,
        seed=recorded.seed,
        profile=recorded.profile,
        variant=recorded.variant,
        theirs=theirs,
        recorded=recorded,
    )


def _nothing(_recorded: Schedule) -> None:
    """The target names on external servers are known only when they answer."""


def _whole(
    options: argparse.Namespace,
    wanted: Experiment,
    *,
    seed: int,
    profile: str,
    variant: str | None,
    theirs: Servers | None,
    recorded: Schedule | None = None,
    must_be_caught_by: str | None = None,
    calibrate: bool = False,
    played: Path | None = None,
) -> int:
    """Run the experiment and judge it, if there is a Redis."""
    from chaos.run import rundir, whole

    directory = options.out or rundir.default_path(wanted.name, seed)
    driven = elsewhere.from_options(options, directory) if "topology" in options else None
    if driven is None:
        check_redis(theirs, profile)
    whole.share_clock()
    from chaos.run.runner import Request

    request = Request(
        experiment=wanted,
        seed=seed,
        profile=profile if driven is None else driven.topology.profile,
        variant=variant,
        directory=directory,
        replay=recorded,
        calibrate=calibrate,
        servers=theirs,
        elsewhere=driven,
        played=played,
    )
    verdict = whole.execute(request, as_json=options.json)
    if must_be_caught_by is not None:
        return caught(verdict, by=must_be_caught_by, as_json=options.json)
    return judged(verdict, as_json=options.json)


def _named_check(variant: str | None, wanted: Experiment) -> str:
    """The check that the variant says must catch it. Raises UsageError where the run could not show that."""
    from sut import variants

    if variant is None:
        raise UsageError("--must-be-caught needs --variant; petrel variants lists them")
    named = variants.find(variant)
    if not named.caught_by:
        raise UsageError(f"variant {variant} is caught by no check: petrel bench {named.measured_by} measures it")
    check = named.caught_by[0]
    if wanted.judged_by is not None and check not in wanted.judged_by:
        raise UsageError(
            f"experiment {wanted.name} is not judged by {check}, which must catch {variant}; {named.shown_in} is"
        )
    return check
