"""The controls over containers that faults need, and looks at them: what the engine says and the kernel counts."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from sut.deploy.docker.engine import Engine
from sut.deploy.errors import DeployError
from sut.deploy.topology import Topology

CPU_PERIOD_US: Final = 100_000
MIN_QUOTA_US: Final = 1_000
"""The kernel's smallest quota."""
_CGROUPS: Final = Path("/sys/fs/cgroup")


class View(NamedTuple):
    """What the engine says about a container."""

    status: str
    """The engine's word: "running", "paused", "exited", "restarting"..."""
    pid: int
    """0 while it has no process."""
    exit_code: int
    out_of_memory: bool
    """True if the kernel killed its last ended process for lack of memory."""
    addresses: tuple[str, ...]
    """Its addresses in networks, of which it has none while it is cut off."""
    memory_limit: int
    """Limit of its memory in bytes."""
    cpu_share: float
    """Cores that it may use; 0: no limit."""


class Containers:
    """The containers of one topology. Blocking; usable from several threads. Raises DeployError."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._engine = Engine.connect()

    def kill(self, name: str) -> None:
        """Send SIGKILL to its process."""
        self._do(name, "kill")

    def stop(self, name: str, grace_s: float) -> None:
        """Send SIGTERM, and SIGKILL after the grace. Returns when it has stopped."""
        self._do(name, "stop", timeout=math.ceil(grace_s))

    def restart(self, name: str, grace_s: float) -> None:
        """Stop it and start it again. Returns when it has been started."""
        self._do(name, "restart", timeout=math.ceil(grace_s))

    def pause(self, name: str) -> None:
        """Freeze all its processes."""
        self._do(name, "pause")

    def unpause(self, name: str) -> None:
        """Continue them. Harmless when it is not paused, or gone."""
        if self.look(name).status == "paused":
            self._do(name, "unpause")

    def disconnect(self, name: str) -> None:
        """Disconnect it from all its networks. Its process is not told."""
        service = self._topology.service(name)
        for zone in service.zones:
            self._engine.leave(self._topology, service, zone)

    def reconnect(self, name: str) -> None:
        """Connect it to all its networks under its addresses. Harmless when it is, or when it is gone."""
        service = self._topology.service(name)
        there = self.look(name).addresses
        for zone, address in service.zones.items():
            if address not in there:
                self._engine.join(self._topology, service, zone, address)

    def limit_memory(self, name: str, limit: int) -> None:
        """Limit its memory to so many bytes. A running container must use less than that."""
        self._do(name, "update", mem_limit=limit, memswap_limit=limit)

    def limit_cpu(self, name: str, cores: float) -> None:
        """Limit it to this share of a core."""
        quota = max(MIN_QUOTA_US, round(cores * CPU_PERIOD_US))
        self._do(name, "update", cpu_period=CPU_PERIOD_US, cpu_quota=quota)

    def unlimit(self, name: str) -> None:
        """Take all limits off: memory up to that of the machine, for the engine can set a limit and not remove it."""
        everything = psutil.virtual_memory().total
        self._do(name, "update", mem_limit=everything, memswap_limit=everything, cpu_quota=-1)

    def look(self, name: str) -> View:
        """Return the engine's view of a service's container. Raises DeployError if there is none."""
        seen = self._engine.look(self._topology, self._topology.service(name))
        if seen is None:
            raise DeployError(f"{name} has no container")
        state, host = seen["State"], seen["HostConfig"]
        networks = seen["NetworkSettings"]["Networks"].values()
        return View(
            status=state["Status"],
            pid=state["Pid"],
            exit_code=state["ExitCode"],
            out_of_memory=state["OOMKilled"],
            addresses=tuple(one["IPAddress"] for one in networks if one["IPAddress"]),
            memory_limit=host["Memory"],
            cpu_share=max(0, host["CpuQuota"]) / (host["CpuPeriod"] or CPU_PERIOD_US),
        )

    def _do(self, name: str, verb: str, **arguments: object) -> None:
        self._engine.do(self._topology, self._topology.service(name), verb, **arguments)


def frozen(pid: int) -> bool | None:
    """Return True if the kernel has frozen the process's control group; None if it cannot be seen."""
    state = _counter(pid, "freezer", "freezer.state")
    if state is not None:
        return state.strip() == "FROZEN"
    state = _counter(pid, "", "cgroup.events")
    return None if state is None else "frozen 1" in state


def throttled(pid: int) -> int | None:
    """Return how often the kernel has made the process wait for its CPU quota; None if it cannot be seen."""
    text = _counter(pid, "cpu", "cpu.stat") or _counter(pid, "", "cpu.stat") or ""
    counts = dict(line.split() for line in text.splitlines())
    return int(counts["nr_throttled"]) if "nr_throttled" in counts else None


def _counter(pid: int, controller: str, file: str) -> str | None:
    """Return a file of the process's control group; `controller` "" is that of version 2."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                return (_CGROUPS / controller / path.lstrip("/") / file).read_text(encoding="utf-8")
    return None
