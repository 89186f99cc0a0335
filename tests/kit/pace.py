"""How fast this machine is for these tests, and deadlines that follow it.

A deadline in a test says how long something takes on two quiet cores. A machine that shares its cores, or is slower,
needs longer for the same work, and a test that fails for that reason says nothing about the code. `scaled` makes a
deadline longer by the pace that was measured once a session, or by the load of the last minute where that is more.
Only deadlines are scaled: times that are part of what a test is about (a lease, a hold, a period) stay as they are.
"""

import functools
import hashlib
import os
import subprocess
import sys
import time

VARIABLE = "PETREL_TEST_PACE"
"""Holds the measured pace for the worker processes of pytest-xdist, which measure nothing themselves."""
LOWEST, HIGHEST = 1.0, 8.0
ROUNDS = 600_000
REFERENCE_S = 0.2
"""CPU time of `work` on the machine the deadlines were written on (a 2-core virtual machine, 2026-11-30)."""


def work() -> None:
    """A fixed amount of computing: about REFERENCE_S of one core."""
    digest = b""
    for _ in range(ROUNDS):
        digest = hashlib.sha256(digest).digest()


def spent_s() -> float:
    """The wall time in seconds that `work` takes in this process."""
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def bounded(factor: float) -> float:
    """The factor within LOWEST and HIGHEST."""
    return min(max(factor, LOWEST), HIGHEST)


def measure() -> float:
    """How many times longer than REFERENCE_S the work takes when each core gets it at once; bounded.

    Each core has a process of its own, so that a program beside the tests shows even when it leaves a core free.
    """
    command = [sys.executable, "-I", __file__]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(os.cpu_count() or 1)]
    return bounded(max(float(process.communicate()[0]) for process in running) / REFERENCE_S)


@functools.cache
def measured() -> float:
    """The pace measured at the start of the session, in this process or in the one that started it."""
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = f"{measure():.2f}"
    return bounded(float(os.environ[VARIABLE]))


def factor() -> float:
    """By how much deadlines grow now: the measured pace, or the runnable processes a core if those are more."""
    return bounded(max(measured(), os.getloadavg()[0] / (os.cpu_count() or 1)))


def scaled(seconds: float) -> float:
    """The deadline in seconds for what takes at most `seconds` on two quiet cores."""
    return seconds * factor()


if __name__ == "__main__":
    print(spent_s())
