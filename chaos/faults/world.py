"""The objects that a fault may use: the topology, and the controls over the running system, as interfaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sut.deploy.topology import Service, ServiceKind, Topology

if TYPE_CHECKING:
    from sut.deploy.docker.control import View
    from sut.deploy.net.links import Toxic
    from sut.deploy.net.packets import Way


class Processes(Protocol):
    """The part of a running system that faults need (sut.deploy.system.System is one)."""

    def pid(self, name: str) -> int | None:
        """Return the current pid of the service `name`; None while it has no process."""

    def hold(self, name: str) -> None:
        """Do not restart the service until `release`."""

    def release(self, name: str) -> None:
        """Allow restarts again. Does nothing if the service is not held."""


class LinkControl(Protocol):
    """The part of the link proxies that faults need (sut.deploy.net.links.Links is one)."""

    def available(self) -> str | None:
        """Return None if links can be broken here, else the reason why not."""

    def blackhole(self, link: str) -> None:
        """Swallow all bytes in both directions; connections stay open."""

    def latency(self, link: str, *, latency_ms: int, jitter_ms: int = 0) -> None:
        """Delay all bytes in each direction."""

    def bandwidth(self, link: str, *, kb_per_s: int) -> None:
        """Limit each direction to this rate. 0 stops it; the bytes held back arrive later."""

    def reset(self, link: str) -> None:
        """End every connection at its next byte: new ones by a reset, those that were open before in order."""

    def half_close(self, link: str) -> None:
        """End every connection towards the link's target; its source is not told."""

    def slicer(self, link: str, *, size: int, delay_us: int) -> None:
        """Cut the bytes into pieces of about `size`, with `delay_us` between them."""

    def toxics(self, link: str) -> tuple[Toxic, ...]:
        """Return the toxics that are on the link now."""

    def restore(self, link: str) -> None:
        """Remove all toxics. Does nothing if there are none."""


class PacketControl(Protocol):
    """The part of the packet filter that faults need (sut.deploy.net.packets.Packets is one)."""

    def available(self) -> str | None:
        """Return None if packets can be dropped here, else the reason why not."""

    def drop(self, reason: str, ways: Iterable[Way]) -> None:
        """Drop these packets from now on. `reason` names the rules for `allow` and `dropped`."""

    def allow(self, reason: str) -> None:
        """Let the packets pass again. Does nothing if they do."""

    def dropped(self, reason: str) -> Mapping[int, int]:
        """Return the number of packets dropped so far, by the group that sent them."""

    def clear(self) -> None:
        """Remove every rule of this run."""


class ContainerControl(Protocol):
    """The part of the containers that faults need (sut.deploy.docker.control.Containers is one)."""

    def kill(self, name: str) -> None:
        """Send SIGKILL to its process."""

    def stop(self, name: str, grace_s: float) -> None:
        """Send SIGTERM, and SIGKILL after the grace. Returns when it has stopped."""

    def restart(self, name: str, grace_s: float) -> None:
        """Stop it and start it again. Returns when it has been started."""

    def pause(self, name: str) -> None:
        """Freeze all its processes."""

    def unpause(self, name: str) -> None:
        """Continue them. Does nothing if they run."""

    def disconnect(self, name: str) -> None:
        """Disconnect it from all its networks."""

    def reconnect(self, name: str) -> None:
        """Connect it to all its networks. Does nothing if it is connected."""

    def limit_memory(self, name: str, limit: int) -> None:
        """Limit its memory to so many bytes."""

    def limit_cpu(self, name: str, cores: float) -> None:
        """Limit it to this share of a core."""

    def unlimit(self, name: str) -> None:
        """Take all limits off."""

    def look(self, name: str) -> View:
        """Return what the engine says about it."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a fault may use."""

    topology: Topology
    processes: Processes
    links: LinkControl
    packets: PacketControl
    containers: ContainerControl | None = None
    """None: the processes run without containers."""


def containers_of(topology: Topology) -> ContainerControl | None:
    """Return the control over a system's containers; None if it has none. Raises DeployError without the engine."""
    if not topology.contained:
        return None
    from sut.deploy.docker.control import Containers  # its library loads slowly

    return Containers(topology)


def own(topology: Topology, kind: ServiceKind) -> tuple[Service, ...]:
    """Return the services of a kind that this run started. Servers that somebody else runs are never broken."""
    return tuple(service for service in topology.of_kind(kind) if not service.external)
