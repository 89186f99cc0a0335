"""`python -m sut.deploy.supervise.watchdog RUN_ID DIR [spare]`: cleans up after a runner that was killed.

The runner holds the other end of standard input. When it ends, however that happens, the pipe closes. Unless the line
"done" came first, the run is undone at once: the commands of DIR/undo.jsonl run, then every process of the run ends.
Each step is appended to DIR/logs/watchdog.log. A fault of the embedded profile is inside the run's own processes, so
ending them heals it. The ledger is for effects on the host that outlive them (a firewall rule):

    {"undo": "f1", "argv": ["iptables", "-D", ...]}     the command that undoes it; runs without a shell, newest first
    {"done": "f1"}                                       it is undone already

Other lines and fields are ignored: other programs use them. The same command promised twice runs once.

With `spare` the ledger's commands are all: the system is somebody's, and goes on.

A runner needs its watchdog before it has a system. RUN_ID may therefore be empty: then the run is the one that
DIR/topology.json names when the runner dies. That file is written before the first process is started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from sut.deploy.errors import EXIT_CANNOT, EXIT_USAGE, DeployError
from sut.deploy.supervise import log_lines, state
from sut.deploy.supervise.ending import end
from sut.deploy.supervise.reaper import Reaped, reap
from sut.deploy.topology import TopologyError, load

GRACE_S: Final = 1.0
SETTLE_S: Final = 0.5
"""The runner may have died between the fork of a process and its exec, when its environment was not set yet."""
UNDO_S: Final = 2.0
"""Time for all commands of the ledger together: the whole clean-up must take less than five seconds."""
MIN_UNDO_S: Final = 0.5
"""Time for each command even if the others were slow."""
DONE: Final = b"done"
SPARE: Final = "spare"


class Watchdog:
    """The runner's handle on its watchdog, which waits as long as this process lives."""

    def __init__(self, run_id: str, directory: Path, *, spare: bool = False) -> None:
        """Start a watchdog. With run_id "" it may start before the system: DIR/topology.json then names the run.

        `spare`: it undoes faults only, and leaves the processes of the run alone. Raises OSError.
        """
        directory = directory.absolute()
        marks = (state.RUN_ID, state.SERVICE)
        log = state.Files(directory).log("watchdog")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            # Without the run's mark: otherwise the runner's own clean-up would end it too early. No child inherits the
            # pipe's end, so it closes when this process ends.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, run_id, str(directory), *([SPARE] if spare else [])],
                env={name: value for name, value in os.environ.items() if name not in marks},
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The pid of the watchdog's process."""
        return self._process.pid

    def done(self, timeout_s: float = 5.0) -> None:
        """Dismiss the watchdog after a run that is over and clean. May be repeated."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(DONE + b"\n")
            self._process.stdin.close()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Undo(NamedTuple):
    """A command of the ledger that was promised and not marked done."""

    undo: str
    argv: tuple[str, ...]


class _Line(msgspec.Struct, frozen=True):
    undo: str = ""
    argv: tuple[str, ...] = ()
    done: str = ""


def pending(lines: Iterable[bytes]) -> list[Undo]:
    """Return the commands that a ledger leaves to be run, newest first. Ignores foreign lines and a torn one."""
    promised: dict[str, Undo] = {}
    for text in lines:
        try:
            line = msgspec.json.decode(text, type=_Line)
        except msgspec.DecodeError:
            continue
        if line.argv:
            promised.pop(line.undo, None)
            promised[line.undo] = Undo(line.undo, line.argv)
        if line.done:
            promised.pop(line.done, None)
    return list(reversed(promised.values()))


def main(arguments: list[str]) -> int:
    """Run the watchdog. Returns the exit status: 0 when it was dismissed or the run is gone."""
    if len(arguments) not in (2, 3) or arguments[2:] not in ([], [SPARE]):
        sys.stderr.write("usage: python -m sut.deploy.supervise.watchdog RUN_ID DIR [spare] < pipe\n")
        return EXIT_USAGE
    run_id, directory, spare = arguments[0], Path(arguments[1]), len(arguments) == 3
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log = log_lines.configure("watchdog")
    if _dismissed(sys.stdin.fileno()):
        return 0
    run_id = run_id or _run_in(directory)
    log.warning("the runner has ended, %s run %s", "healing" if spare else "ending", run_id or "(it had not begun one)")
    ledger = directory / "undo.jsonl"
    lines = ledger.read_bytes().split(b"\n") if ledger.exists() else []
    deadline_s = time.monotonic() + UNDO_S
    done: set[tuple[str, ...]] = set()
    for undo in pending(lines):
        if undo.argv not in done:
            done.add(undo.argv)
            timeout_s = max(MIN_UNDO_S, deadline_s - time.monotonic())
            log.warning("undo %s: %s", undo.undo, _run(undo.argv, timeout_s))
    if not run_id or spare:
        return 0
    try:
        reaped = _end(run_id, directory)
    except DeployError as error:
        log.error("%s", error)
        return EXIT_CANNOT
    log.warning("ended %d processes: %s", len(reaped.ended), ", ".join(reaped.ended) or "none")
    if reaped.left:
        log.error("could not end: %s", reaped.left)
        return EXIT_CANNOT
    return 0


def _dismissed(fd: int) -> bool:
    """Read to the end of the pipe. Return True if the last whole line was "done"."""
    tail = b""
    while chunk := os.read(fd, 4096):
        tail = (tail + chunk)[-4096:]
    lines = tail.split(b"\n")[:-1]
    return bool(lines) and lines[-1] == DONE


def _run_in(directory: Path) -> str:
    """Return the run id of the topology in the directory, "" when there is none."""
    try:
        return load(directory / "topology.json").run_id
    except TopologyError:
        return ""


def _end(run_id: str, directory: Path) -> Reaped:
    """End all that is left of the run. Raises DeployError."""
    try:
        topology = load(directory / "topology.json")
    except TopologyError:
        topology = None
    if topology is None or topology.run_id != run_id:
        return reap(run_id, grace_s=GRACE_S, settle_s=SETTLE_S)
    return end(topology, grace_s=GRACE_S, settle_s=SETTLE_S)


def _run(argv: tuple[str, ...], timeout_s: float) -> str:
    """Run the command and return how it ended, in words."""
    try:
        ended = subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return f"exit {ended.returncode}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
