"""From a profile to a topology: one YAML file a profile in topologies/, and how each kind of service comes to be.

`build` starts nothing and writes nothing: given a directory, free ports and the servers found on this machine it
says which processes there are to be, where they listen, and which ways between them go through a proxy.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from sut.deploy.place import Place
from sut.deploy.servers import cassandra as cassandra_server
from sut.deploy.servers import kafka as kafka_server
from sut.deploy.servers.confs import redis_conf_path, toxiproxy_conf_path
from sut.deploy.topology import Link, Service, ServiceKind, Topology

DIRECTORY: Final = Path(__file__).with_name("topologies")
REDIS_RESTART_S: Final = 8.5
"""A dead Redis stays away until Sentinel has seen it (4 s, adapters/redis/tilt.py) and failed over (1 to 3 s more)."""
PUSH: Final[tuple[ServiceKind, ...]] = ("push", "provider")
"""Left out where the settings say that there are no pushes."""
VOLUME_MB: Final = 192
"""Of the small disk: room for a run's log, and filled in a moment. It takes memory only as it is used."""
_VOLUME: Final = (
    'mkdir -p "$0.disk" && mount -t tmpfs -o "size=$1m" petrel "$0.disk"'
    ' && cp -a "$0/." "$0.disk/" && mount --bind "$0.disk" "$0" && exec sleep infinity'
)
"""In a mount namespace of its own, so that the disk is gone with the last process in it, whatever kills that."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a profile's file says."""

    name: str
    services: dict[ServiceKind, int]
    """How many of each kind."""
    links: tuple[tuple[ServiceKind, ServiceKind, str], ...]
    """(source kind, target kind, role of the target's port): each pair gets a proxy."""
    start_timeout_s: float


def _profiles() -> dict[str, Profile]:
    found = [msgspec.yaml.decode(path.read_bytes(), type=Profile) for path in DIRECTORY.glob("*.yaml")]
    return {profile.name: profile for profile in sorted(found, key=lambda p: (p.name != "embedded", p.name))}


PROFILES: Final[dict[str, Profile]] = _profiles()


def build(name: str, place: Place) -> Topology:
    """The topology of a profile at this place. Raises OSError when there is no free port, KeyError for the name."""
    profile = PROFILES[name]
    services: list[Service] = []
    for kind, count in profile.services.items():
        if kind in PUSH and not place.settings.push:
            continue
        services += place.external.get(kind) or _MAKERS[kind](kind, count, place)
    if volumes := [service for service in services if service.kind == "volume"]:
        services = [_on_volume(service, volumes) for service in services]
    return Topology(
        run_id=secrets.token_hex(8),
        profile=name,
        dir=str(place.directory),
        services=tuple(services),
        links=_links(profile, services, place) if place.toxiproxy is not None else (),
        settings=place.settings,
        variant=place.variant,
        token_key=secrets.token_hex(32),
        api_key=secrets.token_urlsafe(24),
    )


def _ours(*roles: str) -> _Maker:
    def make(kind: ServiceKind, count: int, place: Place) -> tuple[Service, ...]:
        return tuple(
            Service(name=f"{kind}-{index + 1}", kind=kind, index=index, ports={role: place.port() for role in roles})
            for index in range(count)
        )

    return make


def _redis(kind: ServiceKind, count: int, place: Place) -> tuple[Service, ...]:
    """Data nodes, the first of which begins as master, or Sentinels."""
    services = []
    for index in range(count):
        name = f"{kind}-{index + 1}"
        conf = str(redis_conf_path(place.directory, name))
        mode = () if kind == "redis" else ("--sentinel",)
        services.append(
            Service(
                name=name,
                kind=kind,
                index=index,
                ports={"redis": place.port()},
                command=(str(place.redis_server), conf, *mode),
                restart_delay_s=REDIS_RESTART_S if kind == "redis" else 0.3,
                gid=place.gid(),
            )
        )
    return tuple(services)


def _toxiproxy(_kind: ServiceKind, _count: int, place: Place) -> tuple[Service, ...]:
    if place.toxiproxy is None:
        return ()
    port, conf, server = place.port(), toxiproxy_conf_path(place.directory), place.toxiproxy
    # By default it logs each step of each connection.
    command = ("env", "LOG_LEVEL=warn", str(server), "-host", "127.0.0.1", "-port", str(port), "-config", str(conf))
    return (Service(name="toxiproxy", kind="toxiproxy", ports={"api": port}, command=command),)


def _kafka(_kind: ServiceKind, _count: int, place: Place) -> tuple[Service, ...]:
    return kafka_server.services(place)


def _cassandra(_kind: ServiceKind, _count: int, place: Place) -> tuple[Service, ...]:
    return cassandra_server.services(place)


def _volume(kind: ServiceKind, count: int, place: Place) -> tuple[Service, ...]:
    """Small disks for the last brokers, where this process may mount and the brokers are ours."""
    if not place.root or "kafka" in place.external:
        return ()
    services = []
    for index in range(count):
        broker = f"kafka-{3 - index}"
        data = str(kafka_server.log_dir(place.directory, broker))
        command = ("unshare", "--mount", "--propagation", "private", "sh", "-c", _VOLUME, data, str(VOLUME_MB))
        services.append(Service(name=f"volume-{broker}", kind=kind, index=index, command=command))
    return tuple(services)


def _on_volume(service: Service, volumes: list[Service]) -> Service:
    """The service, with the disk that is meant for it."""
    for volume in volumes:
        if volume.name == f"volume-{service.name}":
            return msgspec.structs.replace(service, volume=volume.name)
    return service


def _links(profile: Profile, services: list[Service], place: Place) -> tuple[Link, ...]:
    return tuple(
        Link(source=source.name, target=target.name, port=role, listen=place.port())
        for source_kind, target_kind, role in profile.links
        for source in services
        if source.kind == source_kind
        for target in services
        if target.kind == target_kind
    )


_Maker = Callable[[ServiceKind, int, Place], tuple[Service, ...]]

_MAKERS: Final[dict[ServiceKind, _Maker]] = {
    "gateway": _ours("ws", "peer"),
    "chat": _ours("peer"),
    "sequencer": _ours("peer"),
    "api": _ours("http", "peer"),
    "push": _ours("peer"),
    "provider": _ours("apns", "fcm", "control", "peer"),
    "redis": _redis,
    "sentinel": _redis,
    "toxiproxy": _toxiproxy,
    "kafka": _kafka,
    "cassandra": _cassandra,
    "volume": _volume,
}
