"""The faults on the push providers' stand-ins: real ones, which misbehave for a while and then do not."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from chaos.errors import FaultError
from chaos.faults import FAULTS, World
from chaos.faults.proofs import providers
from chaos.faults.undo import UndoLedger, pending
from chaos.run.engine import Engine
from chaos.run.schedule import PlannedFault
from sut.deploy.net.links import Links
from sut.deploy.net.packets import Packets
from sut.deploy.place import Place
from sut.deploy.profiles import build
from sut.deploy.supervise.reaper import reap
from sut.deploy.supervise.reservation import Reservation
from sut.deploy.system import boot
from sut.deploy.topology import Settings
from tests.kit.pace import scaled
from tests.kit.waits import wait_until


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A system that is nothing but the stand-ins of the providers."""
    with Reservation() as reservation:
        place = Place(
            directory=tmp_path_factory.mktemp("providers"), redis_server=Path("redis-server"), toxiproxy=None,
            port=reservation.port, settings=Settings(push=True), variant=None, gid=lambda: 0,
        )  # fmt: skip
        whole = build("embedded", place)
        topology = msgspec.structs.replace(whole, services=whole.of_kind("provider"), links=())
        try:
            system = boot(topology, reservation, on_progress=lambda _text: None, timeout_s=scaled(30))
            yield World(topology=topology, processes=system, links=Links(topology), packets=Packets(topology.run_id))
            system.stop()
        finally:
            reap(topology.run_id, grace_s=0.2)


class Lines:
    """What the engine writes."""

    def __init__(self) -> None:
        self.faults = []

    def write(self, event) -> None:
        if hasattr(event, "phase"):
            self.faults.append(event)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("providers_throttle", "throttled", 0.8),
        ("providers_goaway", "goaway", 0.5),
        ("providers_away", "away", True),
    ],
)
def test_both_providers_misbehave_until_the_heal(
    world: World, tmp_path: Path, name: str, field: str, value: float
) -> None:
    (service,) = world.topology.of_kind("provider")
    before = providers.behave(service, '{"apns": {"slow": 0.25}}')
    lines, ledger = Lines(), UndoLedger(tmp_path / "undo.jsonl")
    fault = PlannedFault(fault="f1", name=name, target=service.name, at_s=0.0, for_s=60)
    engine = Engine(
        [fault], world=world, ledger=ledger, lines=lines, now_ns=time.monotonic_ns, t0_ns=time.monotonic_ns()
    )
    thread = threading.Thread(target=engine.run)
    thread.start()
    wait_until(lambda: lines.faults)
    (inject,) = lines.faults
    assert inject.ok, inject.evidence
    now = json.loads(providers.behaviour(service))
    assert now["apns"][field] == now["fcm"][field] == value
    assert now["apns"]["slow"] == 0.25
    refused = 0
    for role in ("apns", "fcm"):
        try:
            socket.create_connection((service.host, service.ports[role]), timeout=2).close()
        except ConnectionRefusedError:
            refused += 1
    assert refused == (2 if name == "providers_away" else 0)
    engine.stop()
    thread.join(scaled(20))
    ledger.close()
    heal = lines.faults[-1]
    assert (heal.phase, heal.ok) == ("heal", True), heal.evidence
    assert providers.behaviour(service) == before
    for role in ("apns", "fcm"):
        socket.create_connection((service.host, service.ports[role]), timeout=scaled(2)).close()
    assert pending(tmp_path / "undo.jsonl") == []


def test_stand_ins_that_do_not_answer_are_no_target(world: World) -> None:
    (service,) = world.topology.of_kind("provider")
    dead = msgspec.structs.replace(service, ports={**service.ports, "control": 1})
    with pytest.raises(FaultError, match="does not answer: ConnectionRefusedError"):
        providers.behaviour(dead)
    assert FAULTS["providers_away"].targets(world.topology) == (service.name,)
    assert not providers.behaves(dead, "{}")
