"""What this machine has and lacks to run a system, each with what to do about it. Changes nothing, builds nothing."""

from __future__ import annotations

import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from sut.deploy import binaries
from sut.deploy.errors import DeployError

MIN_PYTHON: Final = (3, 11)
MIN_FILES: Final = 4096
"""The demo's swarm and a gateway each hold some 1,000 sockets; the rest is room."""
MIN_MEMORY: Final = 2 << 30
MIN_DISK: Final = 1 << 30


class Finding(NamedTuple):
    """One thing looked at."""

    what: str
    good: bool
    found: str
    remedy: str = ""
    """What to do; empty when it is good."""
    needed: bool = True
    """Without it nothing runs; otherwise something is limited."""


def examine(directory: Path) -> list[Finding]:
    """All findings. `directory` is where systems are to run; it need not exist."""
    looks: tuple[Callable[[], Finding], ...] = (
        _python,
        _redis,
        _toxiproxy,
        _files,
        _memory,
        lambda: _disk(directory),
    )
    return [look() for look in looks]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= MIN_PYTHON
    return Finding("python", good, found, "" if good else "make PYTHON=python3.12 demo (3.11 or newer)")


def _redis() -> Finding:
    try:
        server = binaries.find_redis_server()
    except DeployError as error:
        return Finding("redis-server", False, str(error), binaries.REDIS_COMMAND)
    version = ".".join(map(str, binaries.redis_version(server)))
    return Finding("redis-server", True, f"{version}, {server}")


def _toxiproxy() -> Finding:
    found = binaries.find_toxiproxy(on_progress=lambda _text: None, install=False)
    if found.path is not None:
        return Finding("toxiproxy-server", True, str(found.path), needed=False)
    return Finding(
        "toxiproxy-server",
        found.can_build,
        found.reason,
        "" if found.can_build else "for link faults, install Go or put toxiproxy-server 2.x on PATH",
        needed=False,
    )


def _files() -> Finding:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    good = hard == resource.RLIM_INFINITY or hard >= MIN_FILES
    found = "no limit" if hard == resource.RLIM_INFINITY else f"{hard} a process"
    return Finding("open files", good, found, "" if good else f"ulimit -Hn {MIN_FILES} (as root)", needed=False)


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    good = free >= MIN_MEMORY
    return Finding("free memory", good, _gib(free), "" if good else f"free {_gib(MIN_MEMORY)}", needed=False)


def _disk(directory: Path) -> Finding:
    """Of the file system that the directory is, or would be, on."""
    place = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(place).free
    good = free >= MIN_DISK
    remedy = "" if good else f"free {_gib(MIN_DISK)}, or choose another directory"
    return Finding("free disk", good, f"{_gib(free)} at {place}", remedy, needed=False)


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
