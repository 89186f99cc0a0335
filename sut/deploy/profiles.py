"""Builds a topology from a profile. Each profile is one YAML file in topologies/.

`build` starts nothing and writes nothing. It gets a directory, free ports and the servers found on this machine. It
decides which processes there are, where they listen, and which connections between them go through a proxy.
"""

from __future__ import annotations

import math
import secrets
from pathlib import Path
from typing import Final, cast

import msgspec

from sut.deploy import clock
from sut.deploy.docker.zones import contained
from sut.deploy.kinds import KINDS, Kind
from sut.deploy.place import Place
from sut.deploy.topology import CELL, Link, Service, ServiceKind, Topology

DIRECTORY: Final = Path(__file__).with_name("topologies")


GATEWAY_DEVICES: Final = 18_000
"""Devices of one gateway: below the 20,000 files that a process may usually have."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a profile's file."""

    name: str
    services: dict[ServiceKind, int]
    """Number of services of each kind (kinds.py)."""
    links: tuple[tuple[ServiceKind, ServiceKind, str], ...]
    """(source kind, target kind, role of the target's port): each pair gets a proxy."""
    start_timeout_s: float
    log: str = "sqlite"
    """Backend of the log, a name in sut.adapters.backends."""
    store: str = "sqlite"
    """Backend of the store."""
    registry: str = "redis"
    """Backend of registry and presence."""
    containers: bool = False
    """True: each process runs in a container of Docker Engine."""


def _profiles() -> dict[str, Profile]:
    found = [msgspec.yaml.decode(path.read_bytes(), type=Profile) for path in DIRECTORY.glob("*.yaml")]
    return {profile.name: profile for profile in sorted(found, key=lambda p: (p.name != "embedded", p.name))}


PROFILES: Final[dict[str, Profile]] = _profiles()


def gateways_for(devices: int) -> int:
    """Return the number of gateways that hold so many devices, with one to spare."""
    return math.ceil(devices / GATEWAY_DEVICES) + 1


def build(profile_name: str, place: Place) -> Topology:
    """Return the topology of a profile at this place. Raises OSError without a free port, KeyError for the name."""
    profile = PROFILES[profile_name]
    services: list[Service] = []
    others = {kind.name: kind.count for kind in KINDS.values() if kind.count and kind.name not in profile.services}
    counts = profile.services | others
    if place.settings.devices and "gateway" in counts:
        counts["gateway"] = max(counts["gateway"], gateways_for(place.settings.devices))
    for name, count in counts.items():
        kind = KINDS[name]
        if not kind.only_with or getattr(place.settings, kind.only_with):
            services += place.external.get(name) or _services(kind, count, place)
    if volumes := [service for service in services if service.kind == "volume"]:
        services = [_on_volume(service, volumes) for service in services]
    made = Topology(
        run_id=secrets.token_hex(8),
        profile=profile_name,
        dir=str(place.directory),
        services=tuple(services),
        links=_links(profile, services, place) if place.toxiproxy is not None else (),
        settings=place.settings,
        log=profile.log,
        store=profile.store,
        registry=profile.registry,
        variant=place.variant,
        variant_dir=str(Path.cwd()) if "." in (place.variant or "") else "",
        token_key=secrets.token_hex(32),
        api_key=secrets.token_urlsafe(24),
        peer_key=secrets.token_hex(32),
        conversation_key=secrets.token_hex(32),
        redis_key="" if "redis" in place.external else secrets.token_hex(32),
    )
    return made if place.containers is None else contained(made, place.containers)


def _services(kind: Kind, count: int, place: Place) -> tuple[Service, ...]:
    """Return the services of a kind that this place allows."""
    if not kind.serves:
        return cast("tuple[Service, ...]", kind.own("services")(kind.name, count, place))
    return tuple(
        Service(
            name=(name := f"{kind.name}-{index + 1}"),
            kind=kind.name,
            index=index,
            ports={role: place.port() for role in kind.ports},
            environment=_clock(kind, name, place),
        )
        for index in range(count)
    )


def _clock(kind: Kind, name: str, place: Place) -> dict[str, str]:
    """Return what gives the process a clock of its own, if it is to have one."""
    if place.faketime is None or kind.name not in place.settings.clocks:
        return {}
    return clock.environment(place.faketime, place.directory, name)


def _on_volume(service: Service, volumes: list[Service]) -> Service:
    """Return the service with its volume, if there is one for it."""
    for volume in volumes:
        if volume.name == f"volume-{service.name}":
            return msgspec.structs.replace(service, volume=volume.name)
    return service


def _links(profile: Profile, services: list[Service], place: Place) -> tuple[Link, ...]:
    between = tuple(
        Link(source=source.name, target=target.name, port=role, listen=place.port())
        for source_kind, target_kind, role in profile.links
        for source in services
        if source.kind == source_kind
        for target in services
        if target.kind == target_kind
    )
    from_devices = tuple(
        Link(source=f"{CELL}{number}", target=gateway.name, port="ws", listen=place.port(), kb_per_s=kb_per_s)
        for number, kb_per_s in enumerate(place.settings.cells, 1)
        for gateway in services
        if gateway.kind == "gateway"
    )
    return between + from_devices
