"""The abilities and gaps of this machine for running a system, each with a remedy. Changes nothing, builds nothing."""

from __future__ import annotations

import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from sut.deploy import clock, throttle
from sut.deploy.errors import DeployError
from sut.deploy.machine import may_isolate
from sut.deploy.net.packets import Packets
from sut.deploy.profiles import PROFILES
from sut.deploy.servers import binaries, jars
from sut.deploy.servers.java import JAVA_COMMAND, find_java

MIN_PYTHON: Final = (3, 11)
MIN_FILES: Final = 4096
"""The demo's swarm and a gateway each hold some 1,000 sockets; the rest is reserve."""
MIN_MEMORY: Final = 2 << 30
CLUSTER_MEMORY: Final = 6 << 30
"""Three brokers of 0.45 GB, three Cassandra nodes of 0.9 GB, our own processes, the swarm."""
MIN_DISK: Final = 1 << 30
CLUSTER_DISK: Final = 4 << 30
LEAST_DISK: Final = 0.25
"""Below this share of that a system is not even started."""
LOOPBACK: Final = "127.99.99.99"
"""The cluster's servers have an address each; on Linux all of 127.0.0.0/8 exist."""
LOOK_TIMEOUT_S: Final = 5.0


class Finding(NamedTuple):
    """The result of one look at the machine."""

    what: str
    good: bool
    found: str
    remedy: str = ""
    """The remedy; empty when the finding is good."""
    needed: bool = True
    """True: nothing runs without it. False: only some features need it."""


def examine(directory: Path, profile: str) -> list[Finding]:
    """Return all findings for a profile. `directory` is where systems will run; it need not exist."""
    servers = PROFILES[profile].services.keys() & set(jars.SERVERS)
    contained = PROFILES[profile].containers
    redis = partial(_redis, binaries.least_redis(PROFILES[profile].services))
    looks: list[Callable[[], Finding]] = [
        _python,
        *((_engine, _images) if contained else (redis, _toxiproxy, _faketime)),
        _files,
    ]
    if servers and not contained:
        looks += [_java, *(lambda server=server: _jars(server) for server in jars.SERVERS if server in servers)]
        looks += [_maven, _loopback, _packets, _namespaces]
    looks += [
        lambda: _memory(CLUSTER_MEMORY if servers else MIN_MEMORY),
        lambda: disk(directory, profile),
    ]
    if not (servers or contained):
        looks.append(lambda: _slow_disk(directory))
    return [look() for look in looks]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= MIN_PYTHON
    return Finding("python", good, found, "" if good else "make PYTHON=python3.12 demo (3.11 or newer)")


def _redis(least: tuple[int, int]) -> Finding:
    try:
        server = binaries.find_redis_server(least)
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


def _faketime() -> Finding:
    library = clock.find_library()
    if library is not None:
        return Finding("libfaketime", True, str(library), needed=False)
    remedy = "for clocks that jump, as root: apt-get install faketime, or your system's package of it"
    return Finding("libfaketime", False, f"there is no {clock.LIBRARY}", remedy, False)


def _engine() -> Finding:
    from sut.deploy.docker.engine import Engine  # its library loads slowly

    try:
        return Finding("Docker Engine", True, Engine.connect().version)
    except DeployError as error:
        found, _, remedy = str(error).partition("; ")
        return Finding("Docker Engine", False, found, remedy)


def _images() -> Finding:
    """Look which images are there; what is missing is pulled or built at the first start."""
    from sut.deploy.docker import images
    from sut.deploy.docker.engine import Engine

    try:
        engine = Engine.connect()
        names = {*images.OFFICIAL.values(), images.tag()}
        missing = sorted(name for name in names if not images.has(engine, name))
        made_here = images.stand_ins(engine, {name: name for name in names if name not in missing})
    except DeployError:
        return Finding("images", True, "not known without the engine", needed=False)
    if missing:
        remedy = f"petrel up pulls and builds them; without a registry, as root: {images.LOCAL_COMMAND}"
        return Finding("images", False, f"missing: {', '.join(missing)}", remedy, needed=False)
    stand_ins = f"; stand-ins: {', '.join(made_here)}" if made_here else ""
    return Finding("images", True, f"{', '.join(sorted(names))}{stand_ins}", needed=False)


def _files() -> Finding:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    good = hard == resource.RLIM_INFINITY or hard >= MIN_FILES
    found = "no limit" if hard == resource.RLIM_INFINITY else f"{hard} a process"
    return Finding("open files", good, found, "" if good else f"ulimit -Hn {MIN_FILES} (as root)", needed=False)


def _java() -> Finding:
    java = find_java()
    if java.path is None:
        return Finding("java", False, java.reason, JAVA_COMMAND)
    return Finding("java", True, f"{java.version}, {java.path}")


def _jars(server: jars.Server) -> Finding:
    found = jars.find(server, on_progress=lambda _text: None, install=False)
    if found.path is not None:
        return Finding(f"{server} jars", True, str(found.path))
    # Then Java or Maven is missing, which its own finding reports.
    return Finding(f"{server} jars", found.can_build, found.reason, "" if found.can_build else "see java and mvn")


def _maven() -> Finding:
    """Look for Maven, which is needed only to fetch the jars."""
    if (mvn := shutil.which("mvn")) is not None:
        return Finding("mvn", True, mvn)
    fetched = all(jars.find(each, on_progress=lambda _text: None, install=False).path for each in jars.SERVERS)
    return Finding("mvn", fetched, "not on PATH", "" if fetched else jars.MVN_COMMAND)


def _loopback() -> Finding:
    try:
        with socket.socket() as sock:
            sock.bind((LOOPBACK, 0))
    except OSError as error:
        return Finding("loopback addresses", False, f"{LOOPBACK}: {error.strerror}", "use Linux")
    return Finding("loopback addresses", True, "all of 127.0.0.0/8")


def _packets() -> Finding:
    """Check that packets can be dropped, for partitions between servers that no proxy separates."""
    problem = Packets("doctor").available()
    remedy = "for packet faults, as root: apt-get install iptables, or your system's package of it"
    return Finding(
        "iptables", problem is None, problem or "drops packets by their sender", remedy if problem else "", False
    )


def _slow_disk(directory: Path) -> Finding:
    """Check that writes to the disk of the directory, or of what is there of its path, can be held back."""
    there = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.is_dir())
    problem = throttle.lacking(there)
    remedy = "for slow disks: be root on Linux, in a directory of a real disk"
    return Finding("control groups", problem is None, problem or "hold back writes", remedy if problem else "", False)


def _namespaces() -> Finding:
    """Check that mount namespaces can be made, for a broker's disk that can be filled."""
    what, remedy = "mount namespaces", "for the disk-full fault, as root: apt-get install util-linux"
    if not may_isolate():
        return Finding(what, False, "needs root, unshare and nsenter", remedy, False)
    command = ["unshare", "--mount", "--propagation", "private", "true"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LOOK_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(what, False, str(error), remedy, False)
    if ended.returncode:
        refused = (ended.stderr.strip().splitlines() or ["unshare refuses"])[-1]
        return Finding(what, False, refused, "for the disk-full fault, run where mounting is allowed", False)
    return Finding(what, True, "can be made", needed=False)


def _memory(wanted: int) -> Finding:
    free = psutil.virtual_memory().available
    good = free >= wanted
    return Finding("free memory", good, _gib(free), "" if good else f"free {_gib(wanted)}", needed=False)


def disk(directory: Path, profile: str) -> Finding:
    """Look at the file system that the directory is, or would be, on."""
    wanted = CLUSTER_DISK if PROFILES[profile].services.keys() & set(jars.SERVERS) else MIN_DISK
    place = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(place).free
    good = free >= wanted
    remedy = "" if good else f"free {_gib(wanted)}, or choose another directory"
    return Finding("free disk", good, f"{_gib(free)} at {place}", remedy, needed=free < wanted * LEAST_DISK)


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
