"""`petrel another`: runs against another chat system."""

from __future__ import annotations

import argparse
import random

from chaos.cli.command import as_json, command, out
from chaos.cli.say import judged, note
from chaos.errors import UsageError, no_such


def _what(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("experiment", metavar="EXPERIMENT", help="`others`, or the path of a YAML file")
    sub.add_argument("--target", metavar="NAME", help="one of the file's targets; needed if it has several")
    sub.add_argument("--seed", type=int, metavar="N", help="draws who sends what; random if not given")


@command("another", "break and judge another chat system, by its adapter", _what, out, as_json)
def another(options: argparse.Namespace) -> int:
    """Start another chat system, run the experiment on it and judge what happened."""
    from chaos.cli.asked import check_redis
    from chaos.run import rundir, whole
    from chaos.screen.console import for_people
    from chaos.screen.live import show_verdict
    from chaos.targets import experiment, system

    wanted, beside = experiment.load(options.experiment)
    label = options.target or next(iter(wanted.targets))
    if label not in wanted.targets:
        raise UsageError(no_such("target", label, wanted.targets))
    if options.target is None and len(wanted.targets) > 1:
        raise UsageError(f"{options.experiment} has several targets; --target is one of {', '.join(wanted.targets)}")
    target = system.adapter(wanted.targets[label].adapter, beside)
    check_redis()
    whole.share_clock()
    from chaos.targets.run import Request, execute

    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    directory = options.out or rundir.default_path(f"{wanted.name}-{label}", seed)
    made = rundir.make(directory)
    request = Request(
        experiment=wanted, spec=wanted.targets[label], label=label, target=target, directory=made.path, seed=seed
    )
    verdict = execute(request, say=note)
    show_verdict(for_people(stderr=options.json), verdict)
    note(f"{made.path}: history.jsonl, verdict.json and logs/")
    return judged(verdict, as_json=options.json)
