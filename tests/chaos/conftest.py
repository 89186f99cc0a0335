"""A small system of real processes to break: Redis, Sentinel and Toxiproxy, and stand-ins for services of ours."""

import itertools
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from chaos.faults import World
from sut.deploy import clock
from sut.deploy.net.links import Links
from sut.deploy.net.packets import Packets
from sut.deploy.place import Place
from sut.deploy.profiles import build
from sut.deploy.servers import binaries
from sut.deploy.supervise.reaper import reap
from sut.deploy.supervise.reservation import Reservation
from sut.deploy.system import boot
from sut.deploy.topology import Settings, Topology
from tests.kit.pace import scaled

STANDIN = Path(__file__).parent.parent / "sut" / "deploy" / "standin.py"
KEPT = {
    "gateway-1", "gateway-2", "chat-1", "sequencer-1", "redis-1", "redis-2", "sentinel-1", "sentinel-2", "sentinel-3",
    "toxiproxy", "cell-1",
}  # fmt: skip

GIDS = itertools.count(1_700_000_000 + random.randrange(1_000_000) * 100)


@pytest.fixture(autouse=True)
def _able_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn on terminals is drawn for the tests too, wherever they run."""
    monkeypatch.setenv("TERM", "xterm")


def small(topology: Topology) -> Topology:
    """What is KEPT of it; ours as stand-ins that answer pings."""
    services = tuple(
        service
        if service.command
        else msgspec.structs.replace(
            service, command=(sys.executable, str(STANDIN), f"{topology.dir}/topology.json", service.name)
        )
        for service in topology.services
        if service.name in KEPT
    )
    links = tuple(link for link in topology.links if {link.source, link.target} <= KEPT)
    return msgspec.structs.replace(topology, services=services, links=links)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One running small system for all tests of a module; each heals what it breaks."""
    toxiproxy = binaries.find_toxiproxy(on_progress=lambda _text: None)
    if toxiproxy.path is None:
        pytest.skip(f"no toxiproxy-server: {toxiproxy.reason}")
    with Reservation() as reservation:
        place = Place(
            directory=tmp_path_factory.mktemp("system"),
            redis_server=binaries.find_redis_server(),
            toxiproxy=toxiproxy.path,
            port=reservation.port,
            settings=Settings(cells=(8,), clocks=("gateway",)),
            variant=None,
            faketime=clock.find_library(),
            gid=lambda: next(GIDS) if os.geteuid() == 0 else 0,
        )
        topology = small(build("embedded", place))
        try:
            system = boot(topology, reservation, on_progress=lambda _text: None, timeout_s=scaled(30))
            yield World(topology=topology, processes=system, links=Links(topology), packets=Packets(topology.run_id))
            system.stop()
        finally:
            reap(topology.run_id, grace_s=0.2)
