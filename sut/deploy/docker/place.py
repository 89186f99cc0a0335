"""The place of a system in containers: images, a free subnet, the user; and what must be there before it starts."""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from sut.deploy.docker import images
from sut.deploy.docker.engine import Engine
from sut.deploy.docker.zones import Containers, free_subnet
from sut.deploy.errors import DeployError
from sut.deploy.kinds import KINDS
from sut.deploy.place import Place, Ports
from sut.deploy.profiles import Profile
from sut.deploy.servers.binaries import Progress
from sut.deploy.topology import Service, ServiceKind, Settings, Topology

_THEIRS: Final = ("topology.json", "data", "push", "tls")
"""What the services read and write in the directory."""
FIRST_PORT: Final = 7001
"""Each container has its own addresses, so its ports need not be free on this machine."""
USER: Final = 10_001
"""The user in containers where a system is started by root: nobody on this machine, as far as possible."""


def place_in_containers(
    profile: Profile,
    *,
    directory: Path,
    port: Ports,
    settings: Settings,
    variant: str | None,
    on_progress: Progress,
    external: Mapping[ServiceKind, tuple[Service, ...]] | None = None,
) -> Place:
    """Return what the profile needs; images that are missing are pulled or built. Raises DeployError."""
    if external:
        raise DeployError(f"servers elsewhere ({', '.join(external)}) cannot be reached from profile {profile.name}")
    engine = Engine.connect()
    kinds = set(profile.services) | {kind for kind in KINDS if KINDS[kind].count}
    found = images.present(engine, kinds, on_progress)
    if made_here := images.stand_ins(engine, found):
        on_progress(f"stand-ins of this machine's making, not the official images: {', '.join(made_here)}")
    ports = itertools.count(FIRST_PORT)
    return Place(
        directory=directory,
        redis_server=Path("redis-server"),
        toxiproxy=images.TOXIPROXY_SERVER,
        port=lambda *_hosts: next(ports),
        settings=settings,
        variant=variant,
        containers=Containers(subnet=_subnet(engine), user=_user(), images=found),
    )


def prepare(topology: Topology) -> None:
    """Make the networks, and give the files that are there to the user of the containers. Raises DeployError, OSError.

    The directory is the system's own; what the harness writes later stays the harness's.
    """
    uid, gid = map(int, topology.user.split(":"))
    if os.geteuid() == 0:
        parts = [topology.path / part for part in _THEIRS]
        for path in (topology.path, *parts, *(path for part in parts for path in part.rglob("*"))):
            if path.exists():
                os.chown(path, uid, gid)
    Engine.connect().make_networks(topology)


def _user() -> str:
    return f"{USER}:{USER}" if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"


def _subnet(engine: Engine) -> str:
    """Return a subnet that neither the engine nor this machine has. Raises DeployError."""
    ours = [
        f"{address.address}/{address.netmask}"
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and address.netmask
    ]
    try:
        return free_subnet([*engine.subnets(), *ours], random.SystemRandom().randrange(1 << 16))
    except ValueError as error:
        raise DeployError(str(error)) from None
