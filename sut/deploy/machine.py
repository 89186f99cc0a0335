"""The parts of this machine that a profile needs: servers (found or fetched), loopback addresses, groups and mounts."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sut.deploy import clock
from sut.deploy.errors import DeployError
from sut.deploy.place import Place, Ports
from sut.deploy.profiles import Profile
from sut.deploy.servers import binaries, jars
from sut.deploy.topology import Service, ServiceKind, Settings

Progress = Callable[[str], None]

MIN_GID: Final = 1_000_000_000
"""Far above the group ids of people, of distributions (to 65,534) and of containers' users."""


def place_on_this_machine(
    profile: Profile,
    *,
    directory: Path,
    port: Ports,
    settings: Settings,
    variant: str | None,
    on_progress: Progress,
    external: Mapping[ServiceKind, tuple[Service, ...]] | None = None,
) -> Place:
    """Return what the profile needs, fetched where it is missing. Raises DeployError: what is missing, and why."""
    others = external or {}
    # A server that is not started by us need not be installed.
    least = binaries.least_redis(profile.services)
    redis_server = Path("redis-server") if "redis" in others else binaries.find_redis_server(least)
    toxiproxy = binaries.find_toxiproxy(on_progress=on_progress)
    if toxiproxy.path is None:
        on_progress(f"without link faults: {toxiproxy.reason}")
    wanted = [server for server in jars.SERVERS if server in profile.services and server not in others]
    found = jars.find_all(wanted, on_progress=on_progress)
    for server, fetched in found.items():
        if fetched.path is None:
            raise DeployError(f"no {server}: {fetched.reason}")
    faketime = clock.find_library() if settings.clocks and not profile.containers else None
    if settings.clocks and faketime is None:
        on_progress(f"without clocks that jump: {clock.LACKING}")
    rng = random.SystemRandom()
    gids = itertools.count(rng.randrange(MIN_GID, MIN_GID + 1_000_000_000, 100))
    root = may_isolate()
    return Place(
        directory=directory,
        redis_server=redis_server,
        toxiproxy=toxiproxy.path,
        port=port,
        settings=settings,
        variant=variant,
        kafka_jars=found["kafka"].path if "kafka" in found else None,
        cassandra_jars=found["cassandra"].path if "cassandra" in found else None,
        subnet=f"127.{rng.randrange(1, 255)}.{rng.randrange(1, 255)}",
        root=root,
        gid=(lambda: next(gids)) if root else (lambda: 0),
        external=others,
        faketime=faketime,
    )


def may_isolate() -> bool:
    """Return True if processes may get their own groups and mount namespaces: root on Linux, with util-linux."""
    return os.geteuid() == 0 and all(map(shutil.which, ("unshare", "nsenter")))
