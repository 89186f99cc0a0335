"""Where each service of a contained system runs: its zones, its address in each, its image. Pure.

A zone is a network of its own. The engine lets nothing pass from one to another, so a service reaches what is in its
zones and nothing else. This machine reaches all of them, as it has an address in each.

    edge      what devices dial: gateways and the API
    services  the system's own processes
    data      servers that keep something, and the proxy of the links
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from sut.deploy.kinds import KINDS
from sut.deploy.topology import Service, ServiceKind, Topology

ZONES: Final = ("edge", "services", "data")
_OWN: Final = {
    "gateway": ("edge", "services", "data"),
    "api": ("edge", "services", "data"),
    "chat": ("services", "data"),
    "sequencer": ("services", "data", "edge"),
    "push": ("services", "data", "edge"),
    "provider": ("services",),
    "toxiproxy": ("data", "edge"),
}
"""The zones of a kind, first the one in which it listens. Others are in "data" alone."""
HOSTS_FROM: Final = 10
"""The first host of a zone; those below are the engine's."""
SIZE: Final = 24
"""Bits of the prefix of a zone's subnet."""
_RANGE: Final = ipaddress.IPv4Network("10.128.0.0/9")


class Containers(msgspec.Struct, frozen=True, kw_only=True):
    """What a profile needs to run in containers."""

    subnet: str
    """A network with room for one of SIZE bits for each zone."""
    user: str
    """UID:GID of every process: the owner of the run's directory, and never root."""
    images: dict[ServiceKind, str]
    """The image of each foreign kind; "" is that of all kinds of our own."""


def contained(topology: Topology, containers: Containers) -> Topology:
    """Return the topology with every process in a container: images, zones, addresses."""
    subnets = dict(zip(ZONES, ipaddress.IPv4Network(containers.subnet).subnets(new_prefix=SIZE), strict=False))
    services = tuple(
        service if service.external else _placed(service, number, subnets, containers.images)
        for number, service in enumerate(topology.services, HOSTS_FROM)
    )
    proxy = next((service.host for service in services if service.kind == "toxiproxy"), "")
    return msgspec.structs.replace(
        topology,
        services=services,
        links=tuple(msgspec.structs.replace(link, host=proxy) for link in topology.links),
        zones={zone: str(subnet) for zone, subnet in subnets.items()},
        user=containers.user,
    )


def _placed(
    service: Service, number: int, subnets: Mapping[str, ipaddress.IPv4Network],
    images: Mapping[ServiceKind, str],
) -> Service:  # fmt: skip
    addresses = {zone: str(subnets[zone][number]) for zone in _OWN.get(service.kind, ("data",))}
    return msgspec.structs.replace(
        service,
        host=next(iter(addresses.values())),
        zones=addresses,
        image=images["" if KINDS[service.kind].serves else service.kind],
    )


def free_subnet(taken: Iterable[str], pick: int) -> str:
    """Return a network for the zones that overlaps none of `taken`; `pick` says which of those that are free.

    Raises ValueError if none is free.
    """
    blocks = list(_RANGE.subnets(new_prefix=SIZE - 2))
    used = [ipaddress.IPv4Network(one, strict=False) for one in taken if ":" not in one]
    for offset in range(len(blocks)):
        block = blocks[(pick + offset) % len(blocks)]
        if not any(block.overlaps(one) for one in used):
            return str(block)
    raise ValueError(f"no subnet is free in {_RANGE}")
