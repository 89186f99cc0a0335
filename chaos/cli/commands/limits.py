"""`petrel limits`: the largest load that a profile carries on this machine."""

from __future__ import annotations

import argparse
import secrets

from chaos.cli import servers
from chaos.cli.asked import check_profile, check_redis
from chaos.cli.command import as_json, command, out, profile, scale
from chaos.cli.say import print_json
from chaos.errors import UNKNOWN, VALID, UsageError


def _first(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--first", type=float, default=200.0, metavar="R", help="messages/s to begin with; default: 200")


@command(
    "limits",
    "find the rate that a profile carries on this machine within the latency bound",
    *(scale, _first, profile, out, as_json, servers.options),
)
def limits(options: argparse.Namespace) -> int:
    """Search for the highest rate. Returns 0 if some rate is carried, else 2."""
    from chaos.bench import limits as searching
    from chaos.run import experiment, rundir, whole

    check_profile(options.profile)
    theirs = servers.from_options(options, options.profile)
    check_redis(theirs)
    wanted = experiment.override(
        experiment.for_profile(experiment.load("capacity"), options.profile),
        users=options.users,
        duration_s=options.duration,
        rate=None,
    )
    if not searching.LOWEST_PER_S <= options.first <= searching.HIGHEST_PER_S:
        raise UsageError(f"--first is from {searching.LOWEST_PER_S:g} to {searching.HIGHEST_PER_S:g}")
    seed = secrets.randbelow(1 << 31) if options.seed is None else options.seed
    directory = options.out or rundir.default_path("limits", seed)
    rundir.check_new(directory)
    whole.share_clock()
    found = searching.measure(
        wanted,
        seed=seed,
        profile=options.profile,
        servers=theirs,
        directory=directory,
        first=options.first,
        as_json=options.json,
    )
    if options.json:
        print_json(found)
    return VALID if found.messages_per_s else UNKNOWN
