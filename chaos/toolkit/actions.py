"""Actions for Chaos Toolkit: each fault of `petrel faults`, with its proofs, and the heal of everything.

An action runs the command of the same name in a process of its own, so that an interrupted experiment heals too. In an
experiment that `petrel run` plays, the system is that of the run, whatever `directory` says.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

from chaoslib.exceptions import ActivityFailed

from chaos.run.inject import SYSTEM

__all__ = ["heal_all", "inject_fault"]

UP: Final = "runs/up"
FAILED: Final[list[str]] = []
"""Faults of this experiment that had no effect or were not seen healed, for probes.every_fault_was_proven."""


def inject_fault(
    fault: str, target: str, for_s: float = 5.0, directory: str = UP, options: dict[str, float] | None = None
) -> list[str]:
    """Inject a fault, hold it for `for_s` seconds and heal it; returns what was seen at each step.

    Raises ActivityFailed if it had no effect or was not seen healed.
    """
    words = [f"--set={name}={value}" for name, value in (options or {}).items()]
    try:
        return run("inject", fault, target, "--for", str(for_s), "--dir", place(directory), *words)
    except ActivityFailed as error:
        FAILED.append(f"{fault} on {target}: {error}")
        raise


def heal_all(directory: str = UP) -> list[str]:
    """Heal everything that is injected by hand; returns what was healed. Raises ActivityFailed."""
    return run("heal", "--dir", place(directory))


def place(directory: str) -> str:
    """Return the directory of the system to break."""
    return os.environ.get(SYSTEM, directory)


def run(*words: str) -> list[str]:
    """Run one command of petrel; returns the lines that it said. Raises ActivityFailed if it did not end with 0."""
    command = [sys.executable, "-P", "-m", "chaos.cli.petrel", *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    said = [line.removeprefix("petrel: ") for line in done.stderr.splitlines()]
    if done.returncode:
        raise ActivityFailed(said[-1] if said else f"petrel {words[0]} ended with {done.returncode}")
    return said
