"""The place of a system to be built: what a profile needs to become a topology."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sut.deploy.docker.zones import Containers
from sut.deploy.topology import Service, ServiceKind, Settings


class Ports(Protocol):
    """Returns a port that is free on 127.0.0.1, or on each of the hosts; a different one each time."""

    def __call__(self, *hosts: str) -> int:
        """Return a port. Raises OSError when there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The directory, servers and free resources that a profile is built with."""

    directory: Path
    """The absolute path of the directory of the system."""
    redis_server: Path
    toxiproxy: Path | None
    """None: the topology has no links, and every process dials the others directly."""
    port: Ports
    settings: Settings
    variant: str | None
    kafka_jars: Path | None = None
    """Directory of Kafka's jars, for profiles with brokers."""
    cassandra_jars: Path | None = None
    subnet: str = "127.0.0"
    """First three octets of the loopback addresses of servers with an address of their own."""
    root: bool = False
    """True if processes can have their own groups and mount namespaces."""
    gid: Callable[[], int] = lambda: 0
    """Returns an unused group id, a different one each time; 0 where processes cannot have one."""
    external: Mapping[ServiceKind, tuple[Service, ...]] = field(default_factory=dict)
    """Foreign servers in use, instead of ours of that kind."""
    faketime: Path | None = None
    """The library that gives a process a clock of its own (clock.py). None: all have the machine's."""
    containers: Containers | None = None
    """For profiles in containers: where each is."""
