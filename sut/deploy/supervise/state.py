"""The files in a system's directory by which the supervisor and all others communicate.

    state.json         written by the supervisor at each change, whole or not at all
    supervisor.lock    locked from the start of a supervisor to its end, by the kernel: no lock is left behind
    hold/NAME          exists while the process NAME, once dead, is not to be restarted
    logs/NAME.log      the output of NAME in all its lives

Files instead of a socket: they need no answer and cannot hang. A process that is held before a fault kills it cannot
be restarted in a race. Every process carries its run and its name in its environment, so a pid that now belongs to
another program is never taken for ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import psutil

from sut.deploy.errors import DeployError
from sut.deploy.topology import Topology

RUN_ID: Final = "PETREL_RUN_ID"
CLOCK_OFFSET: Final = "PETREL_CLOCK_OFFSET_NS"
SERVICE: Final = "PETREL_SERVICE"
SUPERVISOR: Final = "supervisor"

Status = Literal["starting", "running", "held", "stopped", "external"]


class ProcessState(msgspec.Struct, frozen=True, kw_only=True):
    """The process of one service."""

    status: Status = "starting"
    """starting: waiting for its turn or its restart; running: the process is there; held: dead and not to restart;
    external: a foreign process of unknown state."""
    pid: int = 0
    """0 while there is no process."""
    created_s: float = 0.0
    """Start time reported by the kernel, in seconds since the epoch."""
    started_ns: int = 0
    """Start time by the run's clock."""
    restarts: int = 0
    ended: str = ""
    """How its last life ended: "SIGKILL", "exit 70"; empty until one has ended."""


class SystemState(msgspec.Struct, frozen=True, kw_only=True):
    """The content of state.json."""

    run_id: str
    clock_offset_ns: int
    supervisor_pid: int
    processes: dict[str, ProcessState] = {}


class Files(NamedTuple):
    """The files above in one directory."""

    directory: Path

    @property
    def state(self) -> Path:
        return self.directory / "state.json"

    @property
    def lock(self) -> Path:
        return self.directory / "supervisor.lock"

    def hold(self, name: str) -> Path:
        return self.directory / "hold" / name

    def log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def prepare(self) -> None:
        """Make the directories, and delete the holds of an earlier system. Raises OSError."""
        for part in ("hold", "logs", "data"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
            (self.directory / part).chmod(0o700)
        for leftover in (self.directory / "hold").iterdir():
            leftover.unlink()


def read_state(directory: Path) -> SystemState | None:
    """Return the state as last written, None when there is none. Raises DeployError when the file is broken."""
    path = Files(directory).state
    try:
        return msgspec.json.decode(path.read_bytes(), type=SystemState)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DeployError(f"{path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise DeployError(f"{path}: {error}") from None


def write_state(directory: Path, state: SystemState) -> None:
    """Replace state.json in one step. Raises OSError."""
    path = Files(directory).state
    scratch = path.with_suffix(".json.new")
    scratch.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
    scratch.replace(path)


def take_lock(directory: Path) -> int | None:
    """Lock the directory until this process and its heirs close the descriptor; None: it is locked. Raises OSError."""
    fd = os.open(Files(directory).lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _attempt in range(5):  # is_locked of another process holds it for a moment
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        time.sleep(0.02)
    os.close(fd)
    return None


def is_locked(directory: Path) -> bool:
    """Return True if a supervisor runs in the directory."""
    try:
        fd = os.open(Files(directory).lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def clock_offset_ns(environ: Mapping[str, str]) -> int:
    """Return the run's clock minus the monotonic clock: from the environment, else as of now."""
    return int(environ.get(CLOCK_OFFSET) or time.time_ns() - time.monotonic_ns())


def environment(topology: Topology, offset_ns: int, service: str | None = None) -> dict[str, str]:
    """Return the environment variables that a process of the run has beyond the inherited ones."""
    marks = {RUN_ID: topology.run_id, CLOCK_OFFSET: str(offset_ns)}
    return marks if service is None else {**marks, SERVICE: service}


def mounts(pid: int) -> list[str]:
    """Return the mount points that the process `pid` sees. Raises OSError."""
    text = Path(f"/proc/{pid}/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    return [line.split(" ")[1].replace("\\040", " ") for line in text.splitlines()]


def mounted(pid: int, directory: str) -> bool:
    """Return True if the process `pid` sees a file system mounted on the directory. Raises OSError."""
    return directory in mounts(pid)


def belongs(pid: int, run_id: str, service: str | None = None) -> bool:
    """Return True if `pid` is a living process of the run (and of the service). Zombies are not living."""
    try:
        environ = psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return False
    return environ.get(RUN_ID) == run_id and service in (None, environ.get(SERVICE))
