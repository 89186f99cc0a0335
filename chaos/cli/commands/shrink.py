"""`petrel shrink`: which faults of a failing run the failure needs."""

from __future__ import annotations

import argparse

from chaos.cli.command import a_path, command, run_dir
from chaos.cli.say import fail, note
from chaos.errors import UNKNOWN, VALID, HarnessError, UsageError

TRIES = 2
MOST = 60


def _options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--out", type=a_path, metavar="DIR", help="for the runs and the result; default: RUN_DIR.shrunk")
    tries = f"runs of a part before it counts as harmless; default: {TRIES}"
    sub.add_argument("--tries", type=int, default=TRIES, metavar="K", help=tries)
    sub.add_argument("--most", type=int, default=MOST, metavar="N", help=f"runs in all; default: {MOST}")


@command("shrink", "find the faults that an invalid run needs to be invalid, by running parts of it", run_dir, _options)
def shrink(options: argparse.Namespace) -> int:
    """Reduce the schedule of an invalid run."""
    from chaos.run import rundir, shrink
    from chaos.run.interrupt import Aborted

    for name in ("tries", "most"):
        if not 1 <= getattr(options, name) <= 1000:
            raise UsageError(f"--{name} is from 1 to 1000, not {getattr(options, name)}")
    directory = options.out or options.run_dir.with_name(f"{options.run_dir.name}.shrunk")
    rundir.check_new(directory)
    try:
        found = shrink.shrink(options.run_dir, directory, tries=options.tries, limit=options.most, say=note)
    except Aborted:
        raise HarnessError("interrupted twice: the run was ended at once") from None
    except OSError as error:
        raise HarnessError(f"{error.filename}: {error.strerror}") from None
    if not found.failed:
        return fail(f"{found.check} did not fail again in the last {found.runs} runs ({found.tried} in all)", UNKNOWN)
    needed = (
        ", ".join(f"{fault.name} {fault.target} at {fault.at_s:g} s" for fault in found.faults) or "no fault at all"
    )
    note(f"{found.check} needs {needed}: it failed in {found.failed} of {found.runs} runs ({found.tried} runs in all)")
    note(f"again: petrel replay {found.directory}")
    return VALID
