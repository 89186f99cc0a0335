"""The service that opens an adapter, and the system that it belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from sut.deploy.topology import ServiceKind, Topology

Address = tuple[str, int]
DATA: Final = "data"


class Site(NamedTuple):
    """One service of a running system."""

    topology: Topology
    node: str
    """Name of the service."""

    @property
    def data(self) -> Path:
        """Directory for the files of embedded backends, shared by all processes of the system."""
        return self.topology.path / DATA

    def dialed(self, kind: ServiceKind, role: str) -> dict[Address, Address]:
        """Map the address that each server of the kind tells its clients to the one that this service dials."""
        return {
            (server.host, server.ports[role]): self.topology.dial(self.node, server.name, role)
            for server in self.topology.of_kind(kind)
        }
