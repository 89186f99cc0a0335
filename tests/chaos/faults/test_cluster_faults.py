"""Every fault on Kafka and Cassandra bites and heals on three real nodes, and leaves nothing behind."""

import asyncio
import contextlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from chaos.errors import FaultError
from chaos.faults import FAULTS, World
from sut.adapters.kafka.log import KafkaLog
from sut.deploy.machine import may_isolate, place_on_this_machine
from sut.deploy.net.links import Links
from sut.deploy.net.packets import Packets
from sut.deploy.profiles import PROFILES, build
from sut.deploy.servers import jars
from sut.deploy.supervise.reaper import reap
from sut.deploy.supervise.reservation import Reservation
from sut.deploy.system import boot
from sut.deploy.topology import Settings
from sut.ports import Kind, LogRecord, Unavailable
from tests.chaos.run.test_engine import Running, planned, probe_text
from tests.kit.waits import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(300)]
NO_PACKETS = Packets("0").available()
GONE = "is gone; ports .* refuse connections"


@contextlib.contextmanager
def booted(directory: Path, *kinds: str) -> Iterator[World]:
    """The cluster profile's services of these kinds, running."""
    for server in jars.SERVERS:
        if server in kinds and (reason := jars.find(server, on_progress=lambda _text: None).reason):
            pytest.skip(f"no {server}: {reason}")
    with Reservation() as reservation:
        place = place_on_this_machine(
            PROFILES["cluster"], directory=directory, port=reservation.port, settings=Settings(), variant=None,
            on_progress=lambda _text: None,
        )  # fmt: skip
        whole = build("cluster", place)
        services = tuple(service for service in whole.services if service.kind in (*kinds, "toxiproxy"))
        names = {service.name for service in services}
        links = tuple(link for link in whole.links if link.target in names)
        topology = msgspec.structs.replace(whole, services=services, links=links)
        try:
            system = boot(topology, reservation, on_progress=lambda _text: None, timeout_s=120)
            packets = Packets(topology.run_id)
            yield World(topology=topology, processes=system, links=Links(topology), packets=packets)
            system.stop()
        finally:
            reap(topology.run_id, grace_s=0.2)


class Appending(threading.Thread):
    """Appends a record to every partition again and again, as chat services would."""

    def __init__(self, world: World) -> None:
        super().__init__(daemon=True)
        self._topology = world.topology
        self._end = threading.Event()
        self.acked = 0

    def run(self) -> None:
        asyncio.run(self._run())

    def stop(self) -> None:
        self._end.set()
        self.join()

    async def _run(self) -> None:
        addresses = {
            (service.host, service.ports["client"]): (service.host, service.ports["client"])
            for service in self._topology.of_kind("kafka")
        }
        partitions = self._topology.settings.partitions
        log = KafkaLog(addresses, topic=self._topology.topic, partitions=partitions)
        record = LogRecord(Kind.MESSAGE, 1, 1, 1, 1, b"x" * 5000, (), None)

        async def append(partition: int) -> None:
            while not self._end.is_set():
                try:
                    await log.append(partition, [record])
                    self.acked += 1
                except Unavailable:
                    pass
                await asyncio.sleep(0.05)

        await asyncio.gather(*map(append, range(partitions)))
        await log.close()


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with booted(tmp_path_factory.mktemp("kafka"), "kafka", "volume") as world:
        appending = Appending(world)
        appending.start()
        wait_until(lambda: appending.acked >= 8, timeout_s=30)
        yield world
        appending.stop()


@pytest.fixture(scope="module")
def cassandra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with booted(tmp_path_factory.mktemp("cassandra"), "cassandra") as world:
        yield world


def rules() -> str:
    if NO_PACKETS is not None:
        return ""
    return subprocess.run(["iptables", "-S"], capture_output=True, text=True, check=True).stdout


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about speed, and other tests may share the machine."""
    for fault in FAULTS.values():
        for time_s in ("effect_timeout_s", "heal_timeout_s", "arm_timeout_s"):
            monkeypatch.setattr(fault, time_s, 4 * getattr(fault, time_s))


def bites_and_heals(world: World, path: Path, name: str, target: str, for_s: float, effect: str, health: str) -> None:
    if "packets" in FAULTS[name].needs and NO_PACKETS is not None:
        pytest.skip(f"packets cannot be dropped: {NO_PACKETS}")
    assert target in FAULTS[name].targets(world.topology)
    lines = Running(world, path, planned(name, target, for_s=for_s)).join(280)
    for line in lines.faults:
        print(f"{name} {target} {line.phase}: {line.evidence}")
    inject, heal = lines.of("f1", "inject"), lines.of("f1", "heal")
    assert inject.ok, inject.evidence
    assert heal.ok, heal.evidence
    probe_text(effect, inject.evidence)
    probe_text(health, heal.evidence)
    assert world.topology.run_id not in rules()


def disturbs_and_ceases(world: World, path: Path, name: str, link: str, effect: str) -> None:
    if (reason := world.links.available()) is not None:
        pytest.skip(reason)
    bites_and_heals(
        world, path, name, link, 0.5, f"itself: answered .* link: {effect}", "none; over the link: answered"
    )


LINK_FAULTS = [
    ("link_latency", r"answered after [3-9]\d\d ms"),
    ("link_bandwidth", "no answer in 0.8 s"),
    ("link_reset", "the connection was broken"),
    ("link_slicer", r"answered .* in ([2-9]|\d\d) pieces"),
]


@pytest.mark.parametrize(("name", "effect"), LINK_FAULTS)
def test_a_link_to_kafka(kafka: World, tmp_path: Path, name: str, effect: str) -> None:
    disturbs_and_ceases(kafka, tmp_path, name, "chat-1->kafka-2", effect)


@pytest.mark.parametrize(("name", "effect"), LINK_FAULTS)
def test_a_link_to_cassandra(cassandra: World, tmp_path: Path, name: str, effect: str) -> None:
    disturbs_and_ceases(cassandra, tmp_path, name, "sequencer-2->cassandra-3", effect)


IN_SYNC = "every broker sees all 3 alive and in sync in 8 partitions"
LET_GO = "the others have kafka-. in sync nowhere, and all partitions led by kafka-."


@pytest.mark.parametrize(
    ("name", "target", "for_s", "effect", "health"),
    [
        ("kafka_crash", "petrel-3", 1, f"{GONE}; {LET_GO}", f"has new pid .*; {IN_SYNC}"),
        ("kafka_controller_crash", "controller", 1, f"{GONE}; kafka-. is the controller; {LET_GO}", IN_SYNC),
        ("kafka_pause", "petrel-5", 8, "in state T; kafka-.: no answer", f"the end .*{LET_GO}.* then: .*{IN_SYNC}"),
        ("kafka_controller_pause", "controller", 8, "in state T; kafka-.: no answer", IN_SYNC),
        ("kafka_quorum_loss", "kafka-1+kafka-3", 10, f"{GONE}.*; kafka-2 answers and is not the controller", IN_SYNC),
        ("partition_kafka", "kafka-2", 8, f"packets dropped: .* from kafka-2.*{LET_GO}", IN_SYNC),
        ("partition_kafka_one_way", "petrel-1", 8, f"dropped: [1-9].*{LET_GO}", IN_SYNC),
    ],
)  # fmt: skip
def test_kafka(kafka: World, tmp_path: Path, name: str, target: str, for_s: float, effect: str, health: str) -> None:
    bites_and_heals(kafka, tmp_path, name, target, for_s, effect, health)


@pytest.mark.skipif(not may_isolate(), reason="needs root: a small disk of its own for a broker is a mount")
def test_a_full_disk(kafka: World, tmp_path: Path) -> None:
    effect = "^0 bytes are free on the disk of kafka-3; (kafka-3 went down by itself|the others have)"
    bites_and_heals(kafka, tmp_path, "disk_full", "kafka-3", 5, effect, f"[1-9]\\d+ bytes are free .*{IN_SYNC}")


HEARD = "all 3 nodes hear each other and find every replica"
UNHEARD = "the others hear each other and have not heard cassandra-. for"


@pytest.mark.parametrize(
    ("name", "target", "for_s", "effect", "health"),
    [
        ("cassandra_crash", "cassandra-2", 1, f"{GONE}; {UNHEARD}", f"has new pid .*; {HEARD}"),
        ("cassandra_pause", "cassandra-1", 10, f"in state T; cassandra-1: no answer .*; {UNHEARD}", HEARD),
        ("cassandra_quorum_loss", "cassandra-1+cassandra-2", 5, f"{GONE}.*; cassandra-3 finds 1 of 3 replicas", HEARD),
        ("partition_cassandra", "cassandra-3", 10, f"[1-9].* from cassandra-3.*{UNHEARD}", HEARD),
        ("partition_cassandra_one_way", "cassandra-1", 10, f"dropped: [1-9].*{UNHEARD}", HEARD),
    ],
)  # fmt: skip
def test_cassandra(
    cassandra: World, tmp_path: Path, name: str, target: str, for_s: float, effect: str, health: str
) -> None:
    bites_and_heals(cassandra, tmp_path, name, target, for_s, effect, health)


def test_nothing_is_broken_while_a_broker_is_away(kafka: World) -> None:
    crash = FAULTS["kafka_crash"](kafka, "petrel-7", {})
    crash.arm()
    crash.inject()
    try:
        wait_until(crash.effective, timeout_s=20)
        alive = next(service.name for service in kafka.topology.of_kind("kafka") if kafka.processes.pid(service.name))
        for name, target in (("kafka_pause", "petrel-0"), ("partition_kafka", alive)):
            with pytest.raises(FaultError, match=r"is not running|does not answer|does not see|out of sync"):
                FAULTS[name](kafka, target, {}).arm()
    finally:
        for service in kafka.topology.services:
            kafka.processes.release(service.name)
        wait_until(crash.healed, timeout_s=60)
