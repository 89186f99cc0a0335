"""`petrel run` and `petrel replay`: run an experiment and judge it."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.cli import servers
from chaos.cli.asked import check_profile, check_redis, check_variant
from chaos.cli.command import as_json, command, out, profile, run_dir, scale, variant
from chaos.cli.say import judged

if TYPE_CHECKING:
    from chaos.run.experiment import Experiment
    from chaos.run.schedule import Schedule

EXPERIMENTS: Final = Path(__file__).parents[2] / "experiments"
"""Also defined here, so that the help need not import the reader of experiments."""


def _experiment(sub: argparse.ArgumentParser) -> None:
    shipped = ", ".join(sorted(path.stem for path in EXPERIMENTS.glob("*.yaml")))
    sub.add_argument("experiment", metavar="EXPERIMENT", help=f"{shipped}, or the path of a YAML file")
    sub.add_argument("--rate", type=float, metavar="R", help="sends a second, all devices together")


@command("run", "run an experiment and judge it", _experiment, scale, variant, profile, out, as_json, servers.options)
def run(options: argparse.Namespace) -> int:
    """Run an experiment with the changes of the options."""
    from chaos.run import experiment, schedule

    check_profile(options.profile)
    wanted = experiment.override(
        experiment.for_profile(experiment.load(options.experiment), options.profile),
        users=options.users,
        duration_s=options.duration,
        rate=options.rate,
    )
    schedule.check_fits(wanted)
    check_variant(options.variant)
    seed = secrets.randbelow(1 << 31) if options.seed is None else options.seed
    return _whole(options, wanted, seed=seed, profile=options.profile, variant=options.variant)


@command("replay", "run again what a run directory's schedule.yaml says", run_dir, out, as_json, servers.options)
def replay(options: argparse.Namespace) -> int:
    """Run a recorded schedule again."""
    from chaos.run import schedule

    recorded = schedule.load(options.run_dir / "schedule.yaml")
    check_profile(recorded.profile)
    check_variant(recorded.variant)
    return _whole(
        options,
        recorded.experiment,
        seed=recorded.seed,
        profile=recorded.profile,
        variant=recorded.variant,
        recorded=recorded,
    )


def _whole(
    options: argparse.Namespace,
    wanted: Experiment,
    *,
    seed: int,
    profile: str,
    variant: str | None,
    recorded: Schedule | None = None,
) -> int:
    """Check everything that needs no system, then run the experiment and judge it."""
    from chaos.run import rundir, sketch, whole

    theirs = servers.from_options(options, profile)
    check_redis(theirs)
    if theirs is None:  # the target names on external servers are known only when they answer
        sketch.check_targets(recorded or wanted, profile)
    whole.share_clock()
    from chaos.run.runner import Request

    request = Request(
        experiment=wanted,
        seed=seed,
        profile=profile,
        variant=variant,
        directory=options.out or rundir.default_path(wanted.name, seed),
        replay=recorded,
        servers=theirs,
    )
    return judged(whole.execute(request, as_json=options.json), as_json=options.json)
