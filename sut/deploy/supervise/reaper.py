"""Ends every process of a run, whoever started it and whether or not its parents live.

A process belongs to the run that its environment names; it cannot lose that by being orphaned, stopped or renamed.
"""

from __future__ import annotations

import contextlib
import time
from typing import Final, NamedTuple

import psutil

from sut.deploy import clock
from sut.deploy.supervise.state import RUN_ID, SERVICE

KILL_TIMEOUT_S: Final = 3.0
"""Time that SIGKILL may take to show, on a busy machine."""
LOOK_S: Final = 0.05


class Reaped(NamedTuple):
    """The result of a reaping."""

    ended: tuple[str, ...]
    """Names of the processes found: the service's, else the program's."""
    left: tuple[int, ...]
    """Pids that are still there; empty unless the kernel could not end them in time."""


def reap(run_id: str, *, grace_s: float, settle_s: float = 0.1) -> Reaped:
    """Send SIGTERM to all and continue stopped ones; SIGKILL after grace_s. Returns after settle_s without any.

    Takes at most grace_s + settle_s + KILL_TIMEOUT_S. Never touches the caller or its ancestors.
    """
    begun_s = time.monotonic()
    seen_s = begun_s
    names: dict[psutil.Process, str] = {}
    while True:
        found = members(run_id)
        now_s = time.monotonic()
        for process, name in found.items():
            with contextlib.suppress(psutil.Error):
                if now_s - begun_s >= grace_s:
                    process.kill()
                elif process not in names:
                    process.terminate()
                    process.resume()
            names[process] = name
        if found:
            seen_s = now_s
        for process in names.keys() - found.keys():
            clock.forget(process.pid)
        if now_s - seen_s >= settle_s or now_s - begun_s > grace_s + settle_s + KILL_TIMEOUT_S:
            return Reaped(tuple(sorted(names.values())), tuple(process.pid for process in found))
        time.sleep(LOOK_S)


def members(run_id: str) -> dict[psutil.Process, str]:
    """Return the living processes of the run with their names, without the caller and its ancestors."""
    me = psutil.Process()
    spared = {me.pid, *(parent.pid for parent in me.parents())}
    found = {}
    for pid in psutil.pids():
        if pid in spared:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            environ = process.environ()
            if environ.get(RUN_ID) == run_id:
                found[process] = environ.get(SERVICE) or process.name()
    return found
