"""A run in a process of its own, for commands that make many: what goes wrong in one ends nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from chaos.verdict.model import Verdict, decode

POLL_S: Final = 0.2


class Apart(NamedTuple):
    """How a run ended. `why`: the last line it said, if it has no verdict."""

    verdict: Verdict | None
    why: str


def run(*words: str, over: Callable[[], bool]) -> Apart:
    """Run `petrel WORDS --json`. It is ended in good order when it is `over`. Raises OSError."""
    status, out, err = ended([sys.executable, "-P", "-m", "chaos.cli.petrel", *words, "--json"], over)
    try:
        return Apart(decode(out.encode().splitlines()[-1]), "")
    except (IndexError, msgspec.DecodeError):
        said = err.strip().splitlines()
        return Apart(None, said[-1] if said else f"it ended with {status}")


def ended(command: Sequence[str], over: Callable[[], bool]) -> tuple[int, str, str]:
    """Return the exit status, standard output and standard error."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    told = False
    try:
        while True:
            try:
                out, err = process.communicate(timeout=POLL_S)
            except subprocess.TimeoutExpired:
                if over() and not told:
                    process.terminate()
                    told = True
            else:
                return process.returncode, out, err
    except BaseException:
        process.kill()  # its watchdog ends the system
        raise
