"""Makes a test by hand a run that can be judged.

`petrel run` has a runner that does all this. By hand the leading Locust process does it: it writes the meta line,
measures who uses the cores, lets the devices settle at the end, and has the run read back and judged.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import gevent
import gevent.subprocess
import msgspec
import psutil

from load.drive.api import ApiClient, ApiError
from load.drive.machine import SPAN_S, Cores
from load.history.control import Bounds, Machine, Meta
from load.history.ledger import LedgerReader
from load.history.provenance import provenance
from load.history.writer import now_ns
from load.workload import ConfigError, Senders, SwarmConfig, discover

EXPERIMENT: Final = "by-hand"
JUDGE: Final = "chaos.run.byhand"
"""Module that reads a run back and judges it; a process of its own, for nothing here may import it."""
REACH_S: Final = 2.0
"""How long a system may be silent when a test is started, until it is called stopped."""
DRAIN_S: Final = 25.0
"""At the end, until the wait for deliveries is given up: the bound of `liveness` and 5 s."""
SILENT_S: Final = 10.0
"""Without any answer, until sends without one are given up: the bound of `answers`."""
LEAST: Final = 50
"""Acked sends, and deliveries, without which a test by hand proves nothing."""
VERDICTS: Final = (0, 1, 2)
"""Exit statuses of the judge: valid, invalid, unknown."""
EXIT_USAGE: Final = 64
EXIT_HARNESS: Final = 70


def senders(classes: Iterable[type], rate_per_s: float) -> Senders:
    """Return who sends in a test with these user classes: beside tasks a plan only for those that live by one, or if
    its rate was asked for.
    """
    kinds = {getattr(one, "lives_by", "") for one in classes}
    if "tasks" not in kinds:
        return "plan"
    return "both" if "plan" in kinds or rate_per_s else "tasks"


def taskless(classes: Iterable[Any]) -> str:
    """Return a line about the first user class that lives by tasks and has none; empty without one."""
    names = [one.__name__ for one in classes if getattr(one, "lives_by", "") == "tasks" and not one.tasks]
    return f"{names[0]} has no task: mark a method with @task, or let tags leave one" if names else ""


class _Process(msgspec.Struct, frozen=True):
    pid: int = 0


class _State(msgspec.Struct, frozen=True):
    """The part of a system's state.json that is read here."""

    processes: dict[str, _Process] = {}


class _Profile(msgspec.Struct, frozen=True):
    profile: str = EXPERIMENT


def require_system(directory: Path) -> None:
    """Raises ConfigError where nobody answers: the system of DIR was stopped, or cannot be reached."""
    api_url, _, ca_file = discover(directory)
    api = ApiClient(api_url, ca_file=ca_file, timeout_s=4 * REACH_S)
    deadline_s = time.monotonic() + REACH_S
    while True:
        try:
            api.gateways()
        except ApiError as error:
            if time.monotonic() > deadline_s:
                hint = f"start a system with: petrel up --dir {directory}"
                raise ConfigError(f"the system of {directory} does not answer: {error}; {hint}") from None
            gevent.sleep(0.2)
        else:
            return


def describe(config: SwarmConfig, directory: Path, *, experiment: str = EXPERIMENT) -> None:
    """Write the meta line of a run that begins. Raises ConfigError."""
    try:
        topology = msgspec.json.decode((directory / "topology.json").read_bytes(), type=_Profile)
        meta = Meta(
            t=now_ns(),
            experiment=experiment,
            profile=topology.profile or EXPERIMENT,
            seed=config.seed,
            bounds=Bounds(min_acked=LEAST, min_deliveries=LEAST),
            manifest=True,
            elastic=True,
            provenance=provenance(),
        )
        config.history.mkdir()
        (config.history / "meta.jsonl").write_bytes(msgspec.json.encode(meta) + b"\n")
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{directory / 'topology.json'}: {error}") from None


def watch_cores(directory: Path, write: Callable[[Machine], None]) -> None:
    """Tell about each second who used the cores, until the greenlet is killed or nothing can be written."""
    cores = Cores()
    while True:
        seen = cores.look("runner", dict(_used(directory)))
        try:
            if seen is not None:
                write(seen)
        except OSError:
            return
        gevent.sleep(SPAN_S)


def _used(directory: Path) -> Iterable[tuple[int, float]]:
    """(pid, CPU seconds so far) of this process, of its workers, and of the system's processes."""
    try:
        state = msgspec.json.decode((directory / "state.json").read_bytes(), type=_State)
        pids = [process.pid for process in state.processes.values() if process.pid]
    except (OSError, msgspec.DecodeError):
        pids = []  # they count as somebody else's
    me = psutil.Process()
    for pid in [me.pid, *(child.pid for child in me.children(recursive=True)), *pids]:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        yield pid, times.user + times.system


def wait_until_drained(config: SwarmConfig, *, timeout_s: float = DRAIN_S) -> bool:
    """Wait until every send is answered and shown on every online device. Returns False after `timeout_s`.

    Sends of devices that were put away stay without an answer: those that get none for SILENT_S are not waited for.
    """
    reader = LedgerReader(config.history)
    changed_s = time.monotonic()
    deadline_s, unanswered, calm = changed_s + timeout_s, 0, 0
    try:
        while (now_s := time.monotonic()) < deadline_s:
            counts = reader.update()
            if counts.unanswered != unanswered:
                unanswered, changed_s = counts.unanswered, now_s
            answered = unanswered <= 0 or now_s - changed_s > SILENT_S
            calm = calm + 1 if answered and not reader.overdue(0.0) else 0
            if calm > 1:  # what was just received may be answered yet
                return True
            gevent.sleep(0.25)
        return False
    finally:
        reader.close()


class Pool:
    """The devices that nobody has yet, in the leading process."""

    def __init__(self, devices: Iterable[int]) -> None:
        self._free = deque(devices)

    def take(self, count: int) -> list[int]:
        """At most so many; none when all are gone."""
        return [self._free.popleft() for _ in range(min(count, len(self._free)))]


def judge(run: Path) -> tuple[int, str]:
    """Have a run read back and judged by another process. Returns its exit status, and what it says in one line."""
    command = [sys.executable, "-P", "-m", JUDGE, str(run)]
    try:
        process = gevent.subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    except OSError as error:
        return EXIT_HARNESS, f"no verdict: no process to judge: {error.strerror}"
    out, _ = process.communicate()
    lines = out.decode(errors="replace").strip().splitlines()
    status = process.returncode
    if status in VERDICTS and lines:
        return status, lines[-1]
    return EXIT_HARNESS, lines[-1] if lines else f"no verdict: the judge ended with {status} and said nothing"
