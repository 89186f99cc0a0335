"""`petrel toolkit`: an experiment in the format of Chaos Toolkit."""

from __future__ import annotations

import argparse
import random

from chaos.cli.command import a_path, command, directory, profile, scale
from chaos.errors import VALID, UsageError


def _what(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("experiment", metavar="EXPERIMENT", help="one that ships, or the path of a YAML file")
    sub.add_argument("--to", type=a_path, metavar="FILE", help="default: standard output")


@command("toolkit", "write an experiment's faults for Chaos Toolkit, as JSON", _what, profile, directory, scale)
def toolkit(options: argparse.Namespace) -> int:
    """Draw a schedule and write it on standard output."""
    import json

    from chaos.cli.asked import check_profile
    from chaos.run import experiment, schedule, sketch
    from chaos.toolkit.export import exported

    check_profile(options.profile)
    wanted = experiment.for_profile(experiment.load(options.experiment), options.profile)
    wanted = experiment.override(wanted, users=options.users, duration_s=options.duration, rate=None)
    offers = sketch.offers(options.profile)
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    planned = schedule.plan(
        wanted,
        targets={name: offer.targets for name, offer in offers.items() if offer.unavailable is None},
        seed=seed,
        profile=options.profile,
    )
    text = json.dumps(exported(planned, str(options.dir)), indent=1)
    if options.to is None:
        print(text)  # noqa: T201
        return VALID
    try:
        options.to.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{options.to}: {error.strerror}") from None
    return VALID
