"""Probes for Chaos Toolkit: the health of a system, the verdict on a history, and whether each fault was proven."""

from __future__ import annotations

import json
import subprocess
import sys

from chaoslib.exceptions import ActivityFailed

from chaos.toolkit.actions import FAILED, UP, place, run

__all__ = ["every_fault_was_proven", "every_service_is_healthy", "verdict"]


def every_service_is_healthy(directory: str = UP) -> bool:
    """Return True if each service of the system answers as a healthy one. Raises ActivityFailed otherwise.

    It never returns False: where a hypothesis is not met before the method, Chaos Toolkit injects nothing and ends with
    success. A probe that fails makes the experiment fail.
    """
    run("status", "--dir", place(directory))
    return True


def every_fault_was_proven() -> bool:
    """Return True if every fault of this experiment so far took effect and was seen healed. Raises ActivityFailed.

    Chaos Toolkit ends with success when an action failed. In its hypothesis this probe makes that a deviation.
    """
    if FAILED:
        raise ActivityFailed("; ".join(FAILED))
    return True


def verdict(run_dir: str) -> str:
    """Return the verdict on a run directory: valid, invalid or unknown. Raises ActivityFailed if there is none."""
    command = [sys.executable, "-P", "-m", "chaos.cli.petrel", "verify", run_dir, "--json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    try:
        return str(json.loads(done.stdout.splitlines()[-1])["verdict"])
    except (IndexError, KeyError, ValueError):
        said = done.stderr.splitlines()
        raise ActivityFailed(said[-1] if said else f"petrel verify ended with {done.returncode}") from None
