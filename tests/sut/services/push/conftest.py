"""The providers' stand-ins in this process, and the adapters that talk to them over TLS."""

import contextlib
import random
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sut.deploy.servers import stand_in_files
from sut.deploy.servers.push_files import PushFiles
from sut.deploy.supervise.reservation import Reservation
from sut.deploy.topology import Service, Topology
from sut.ports import Provider, PushProvider
from sut.services.push.process import open_providers
from sut.standins.accepted import AcceptedPushes
from sut.standins.process import StandIns


@dataclass(frozen=True)
class Providers:
    """Stand-ins that listen, and what talks to them."""

    stand_ins: StandIns
    adapters: dict[Provider, PushProvider]
    topology: Topology

    def accepted(self) -> str:
        """The file of accepted pushes."""
        return (self.topology.path / "pushes" / "provider-1.jsonl").read_text()


def topology_of(directory: Path) -> Topology:
    """A stand-in and nothing else, with ports that were free a moment ago."""
    with Reservation() as reservation:
        ports = {role: reservation.port() for role in ("apns", "fcm")}
    return Topology(
        run_id="r",
        profile="embedded",
        dir=str(directory),
        services=(Service(name="provider-1", kind="provider", ports=ports),),
        token_key="00",
        api_key="k",
    )


@contextlib.asynccontextmanager
async def running(directory: Path, *, seed: int = 1) -> AsyncIterator[Providers]:
    """Both, over TLS with a new CA."""
    topology = topology_of(directory)
    stand_in_files.write_conf(topology, topology.of_kind("provider")[0])
    service = topology.of_kind("provider")[0]
    accepted = AcceptedPushes(directory, service.name)
    fcm_url = f"https://{service.host}:{service.ports['fcm']}"
    stand_ins = StandIns(PushFiles(directory), accepted, fcm_url=fcm_url, rng=random.Random(seed))
    await stand_ins.apns_server.start(service.host, service.ports["apns"])
    await stand_ins.fcm_server.start(service.host, service.ports["fcm"])
    adapters = open_providers(topology)
    try:
        yield Providers(stand_ins, adapters, topology)
    finally:
        for adapter in adapters.values():
            await adapter.close()
        stand_ins.close()


def trusting_nobody() -> ssl.SSLContext:
    """A client's context with the usual certificates only."""
    return ssl.create_default_context()


@pytest.fixture
def free_port() -> int:
    """A port that was free a moment ago."""
    with Reservation() as reservation:
        return reservation.port()
