"""The topologies that `petrel up` and `petrel run` know by name.

A profile is a function from a directory, free ports and the servers found on this machine to a Topology. It starts
nothing and writes nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sut.deploy.confs import redis_conf_path, toxiproxy_conf_path
from sut.deploy.topology import Link, Service, ServiceKind, Settings, Topology

REDIS_RESTART_S: Final = 6.0
"""A dead Redis stays away until Sentinel has seen it (1.5 s) and failed over (1 to 3 s more)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where and with what a system is to be built."""

    directory: Path
    """Absolute."""
    redis_server: Path
    toxiproxy: Path | None
    """None: the topology has no links, and every process dials the other itself."""
    port: Callable[[], int]
    """Gives a free port, another one each time."""
    settings: Settings
    variant: str | None


def embedded(place: Place) -> Topology:
    """Everything on this machine, each service its own process; Toxiproxy where there is one."""
    ours = (
        *_several("gateway", 3, place, "ws", "peer"),
        *_several("chat", 2, place, "peer"),
        *_several("sequencer", 2, place, "peer"),
        *_several("api", 1, place, "http", "peer"),
    )
    foreign = _redis(place)
    links: tuple[Link, ...] = ()
    if place.toxiproxy is not None:
        foreign = (*foreign, _toxiproxy(place, place.toxiproxy))
        links = _links((*ours, *foreign), place)
    return Topology(
        run_id=secrets.token_hex(8),
        profile="embedded",
        dir=str(place.directory),
        services=(*ours, *foreign),
        links=links,
        settings=place.settings,
        variant=place.variant,
        token_key=secrets.token_hex(32),
        api_key=secrets.token_urlsafe(24),
    )


PROFILES: Final[dict[str, Callable[[Place], Topology]]] = {"embedded": embedded}


def _several(kind: ServiceKind, count: int, place: Place, *roles: str) -> tuple[Service, ...]:
    return tuple(
        Service(name=f"{kind}-{index + 1}", kind=kind, index=index, ports={role: place.port() for role in roles})
        for index in range(count)
    )


def _redis(place: Place) -> tuple[Service, ...]:
    """A master, its replica and three Sentinels."""
    services = []
    for kind, count, mode in (("redis", 2, ()), ("sentinel", 3, ("--sentinel",))):
        for index in range(count):
            name = f"{kind}-{index + 1}"
            conf = redis_conf_path(place.directory, name)
            services.append(
                Service(
                    name=name,
                    kind="redis" if kind == "redis" else "sentinel",
                    index=index,
                    ports={"redis": place.port()},
                    command=(str(place.redis_server), str(conf), *mode),
                    restart_delay_s=REDIS_RESTART_S if kind == "redis" else 0.3,
                )
            )
    return tuple(services)


def _toxiproxy(place: Place, server: Path) -> Service:
    port = place.port()
    conf = toxiproxy_conf_path(place.directory)
    return Service(
        name="toxiproxy",
        kind="toxiproxy",
        ports={"api": port},
        # By default it logs each step of each connection.
        command=("env", "LOG_LEVEL=warn", str(server), "-host", "127.0.0.1", "-port", str(port), "-config", str(conf)),
    )


def _links(services: tuple[Service, ...], place: Place) -> tuple[Link, ...]:
    """Every way between processes that a fault may cut. Replication between the two Redis stays direct."""
    ways: tuple[tuple[ServiceKind, ServiceKind, str], ...] = (
        ("gateway", "redis", "redis"),
        ("sequencer", "redis", "redis"),
        ("sequencer", "gateway", "peer"),
    )
    return tuple(
        Link(source=source.name, target=target.name, port=role, listen=place.port())
        for source_kind, target_kind, role in ways
        for source in services
        if source.kind == source_kind
        for target in services
        if target.kind == target_kind
    )
