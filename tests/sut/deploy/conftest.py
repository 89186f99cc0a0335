"""Small systems of real processes: Redis, Sentinel, Toxiproxy, and stand-ins where a service of ours would be."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sut.deploy.place import Place
from sut.deploy.profiles import build
from sut.deploy.servers import binaries
from sut.deploy.supervise.reaper import reap
from sut.deploy.supervise.reservation import Reservation
from sut.deploy.system import System, boot
from sut.deploy.topology import Service, Settings, Topology
from tests.kit.pace import scaled

STANDIN = Path(__file__).with_name("standin.py")
OURS = ("gateway", "chat", "sequencer", "api")


def cut(topology: Topology, *names: str) -> Topology:
    """The topology with these services only; ours are stand-ins."""
    kept = tuple(
        msgspec.structs.replace(
            service, command=(sys.executable, str(STANDIN), f"{topology.dir}/topology.json", service.name)
        )
        if service.kind in OURS
        else service
        for service in topology.services
        if service.name in names
    )
    links = tuple(link for link in topology.links if link.source in names and link.target in names)
    return msgspec.structs.replace(topology, services=kept, links=links)


def alter(topology: Topology, name: str, **fields: object) -> Topology:
    """The topology with fields of one service changed."""
    changed: list[Service] = [
        msgspec.structs.replace(service, **fields) if service.name == name else service for service in topology.services
    ]
    return msgspec.structs.replace(topology, services=tuple(changed))


class Workshop:
    """Builds, boots and in the end removes systems under one directory."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.reservation = Reservation()
        self.run_ids: list[str] = []
        self.progress: list[str] = []

    def topology(
        self, *names: str, directory: str = "run", toxiproxy: Path | None = None, cells: tuple[int, ...] = ()
    ) -> Topology:
        place = Place(
            directory=self.base / directory,
            redis_server=binaries.find_redis_server(),
            toxiproxy=toxiproxy,
            port=self.reservation.port,
            settings=Settings(cells=cells),
            variant=None,
        )
        topology = cut(build("embedded", place), *names)
        self.run_ids.append(topology.run_id)
        return topology

    def boot(self, topology: Topology, timeout_s: float = 20.0) -> System:
        return boot(topology, self.reservation, on_progress=self.progress.append, timeout_s=scaled(timeout_s))

    def close(self) -> None:
        for run_id in self.run_ids:
            reap(run_id, grace_s=0.2)
        self.reservation.close()


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def toxiproxy() -> Path:
    found = binaries.find_toxiproxy(on_progress=lambda _text: None)
    if found.path is None:
        pytest.skip(f"no toxiproxy-server: {found.reason}")
    return found.path
