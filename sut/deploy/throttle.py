"""Slows the writes of one process to its disk, by a control group of its own (blkio of version 1, io of version 2).

The kernel holds back each write of the group beyond the rate, and whoever waits for it waits longer, as in an fsync.
Writes of others are not held back. But on the same file system they may wait for a journal that such a write is part
of, as they do where a disk is slow for one of many.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from pathlib import Path
from typing import Final, NamedTuple

from sut.deploy.errors import ThrottleError

ROOT: Final = Path("/sys/fs/cgroup")
WRITES: Final = 4
"""Writes of one `write_time_s`, of which the first need not wait."""
LONGEST_S: Final = 3.0
"""Seconds after which `write_time_s` ends."""


class _Version(NamedTuple):
    """How a version of control groups is told the limit."""

    controller: str
    """As in /proc/PID/cgroup; "" is version 2."""
    base: Path
    file: str
    key: str
    unlimited: str


_V1: Final = _Version("blkio", ROOT / "blkio", "blkio.throttle.write_iops_device", "", "0")
_V2: Final = _Version("", ROOT, "io.max", "wiops=", "max")


def _version() -> _Version:
    """Return the version of this machine. Raises ThrottleError: none limits disks."""
    if (_V1.base / _V1.file).exists():
        return _V1
    with contextlib.suppress(OSError):
        if "io" in (ROOT / "cgroup.controllers").read_text(encoding="ascii").split():
            return _V2
    raise ThrottleError("the kernel has no control groups that slow a disk")


def lacking(directory: Path) -> str | None:
    """Return the reason why writes to this directory cannot be slowed here; None: they can."""
    try:
        if os.geteuid() != 0:
            return "needs root: a control group slows the disk"
        if not os.access(_version().base, os.W_OK):
            return "the control groups of this machine are read-only"
        _disk_of(directory)
    except ThrottleError as error:
        return str(error)
    return None


def _disk_of(directory: Path) -> str:
    """Return MAJOR:MINOR of the whole disk that holds the directory. Raises ThrottleError: it is on none."""
    try:
        device = directory.stat().st_dev
        path = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
        if not path.exists():
            raise ThrottleError(f"{directory} is on no disk of its own (tmpfs, overlay or the like)")
        if (path / "partition").exists():
            path = path.resolve().parent
        return (path / "dev").read_text(encoding="ascii").strip()
    except OSError as error:
        raise ThrottleError(f"the disk of {directory}: {error.strerror}") from None


def group_of(pid: int) -> str:
    """Return the group in which the process is, below the place of all groups. Raises ThrottleError."""
    try:
        for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines():
            _number, controllers, path = line.split(":", 2)
            if _version().controller in controllers.split(","):
                return path.lstrip("/")
    except OSError as error:
        raise ThrottleError(f"pid {pid}: {error.strerror}") from None
    raise ThrottleError(f"pid {pid} is in no control group")


def slow(pid: int, group: str, directory: Path, *, writes_per_s: int) -> None:
    """Put the process into a new group that may write so often to the directory's disk. Raises ThrottleError."""
    version, disk = _version(), _disk_of(directory)
    try:
        if version is _V2:
            (version.base / "cgroup.subtree_control").write_text("+io", encoding="ascii")
        place = version.base / group
        place.mkdir(exist_ok=True)
        (place / version.file).write_text(f"{disk} {version.key}{writes_per_s}", encoding="ascii")
        (place / "cgroup.procs").write_text(str(pid), encoding="ascii")
    except OSError as error:
        raise ThrottleError(f"control group {group}: {error.strerror}") from None


def limit_of(group: str, directory: Path) -> int | None:
    """Return the writes a second that the kernel allows the group; None: no such group, or no limit."""
    version = _version()
    with contextlib.suppress(OSError):
        for line in (version.base / group / version.file).read_text(encoding="ascii").splitlines():
            disk, *words = line.split()
            value = next((word.removeprefix(version.key) for word in words if word.startswith(version.key)), "max")
            if disk == _disk_of(directory) and value != "max":
                return int(value)
    return None


def free(group: str, back: str) -> None:
    """Move what is in the group to the group `back`, and remove it. Harmless if it is gone. Raises OSError."""
    version = _version()
    place = version.base / group
    if not place.exists():
        return
    for line in (place / version.file).read_text(encoding="ascii").splitlines():  # what is held back leaves now
        disk = line.split()[0]
        (place / version.file).write_text(f"{disk} {version.key}{version.unlimited}", encoding="ascii")
    target = version.base / back if (version.base / back).is_dir() else version.base
    for pid in (place / "cgroup.procs").read_text(encoding="ascii").split():
        with contextlib.suppress(ProcessLookupError):
            (target / "cgroup.procs").write_text(pid, encoding="ascii")
    place.rmdir()


def write_time_s(directory: Path, group: str | None = None) -> float:
    """Return the seconds that WRITES writes to the disk take, of a process in the group if one is given.

    At most about LONGEST_S. Raises ThrottleError if it cannot write.
    """
    path = directory / f"write-{os.getpid()}-{time.monotonic_ns()}"
    enter = f"echo $$ >{shlex.quote(str(_version().base / group / 'cgroup.procs'))} && " if group else ""
    write = f"exec dd if=/dev/zero of={shlex.quote(str(path))} bs=4096 count={WRITES} oflag=dsync status=none"
    began_s = time.monotonic()
    try:
        subprocess.run(["sh", "-c", enter + write], check=True, capture_output=True, timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        pass
    except (OSError, subprocess.CalledProcessError) as error:
        raise ThrottleError(f"{directory} could not be written to: {error}") from None
    finally:
        path.unlink(missing_ok=True)
    return time.monotonic() - began_s
