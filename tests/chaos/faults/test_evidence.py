"""The whole course of every fault on Kafka and Cassandra, on a pretended cluster: what is looked at, in which order.

The real courses are in test_cluster_faults.py and take minutes. Here the probes answer from a model of three brokers
and three nodes, so each look has to be there, and has to be the one that the fault's text names.
"""

import itertools
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping

import pytest

from chaos.errors import FaultError
from chaos.faults import FAULTS, World, undo
from chaos.faults.proofs import nodes, observe
from sut.adapters.cassandra.probe import CassandraView, Replicas
from sut.adapters.kafka.probe import KafkaView
from sut.deploy.net.packets import Way
from sut.deploy.probes import probe, question
from sut.deploy.probes.question import Answer
from sut.deploy.topology import Service
from tests.chaos.faults.test_declarations import TOPOLOGIES

TOPOLOGY = TOPOLOGIES["cluster"]
KAFKA, CASSANDRA = TOPOLOGY.of_kind("kafka"), TOPOLOGY.of_kind("cassandra")


class Pretend:
    """Three brokers and three nodes that die, stop and are cut off as told. `blunt`: they are not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pids = itertools.count(101)
        self.pid_of = {service.name: next(self._pids) for service in (*KAFKA, *CASSANDRA)}
        self.state: dict[int, str] = dict.fromkeys(self.pid_of.values(), "S")
        self.rules: dict[str, list[Way]] = {}
        self.held: set[str] = set()
        self.blunt = False
        self.now_s = 0.0
        for name, told in {
            "process_state": self.state.get,
            "kafka_view": self._kafka_view,
            "kafka_controller": self._kafka_controller,
            "cassandra_view": self._cassandra_view,
            "cassandra_replicas": self._cassandra_replicas,
        }.items():
            monkeypatch.setattr(probe, name, told)
        monkeypatch.setattr(question, "ask", self._ask)
        monkeypatch.setattr(observe.socket, "create_connection", self._connect)
        monkeypatch.setattr(os, "kill", self._kill)
        monkeypatch.setattr(time, "monotonic", self._monotonic)
        monkeypatch.setattr(undo, "belongs", lambda _pid, _run_id: True)

    # What faults act on.
    def pid(self, name: str) -> int | None:
        pid = self.pid_of[name]
        return pid if pid in self.state else None

    def hold(self, name: str) -> None:
        self.held.add(name)

    def release(self, name: str) -> None:
        self.held.discard(name)
        if self.pid(name) is None:
            self.pid_of[name] = next(self._pids)
            self.state[self.pid_of[name]] = "S"

    def drop(self, reason: str, ways: Iterable[Way]) -> None:
        self.rules.setdefault(reason, []).extend(ways)

    def allow(self, reason: str) -> None:
        self.rules.pop(reason, None)

    def dropped(self, reason: str) -> Mapping[int, int]:
        return Counter(way.gid for way in self.rules.get(reason, ()))

    def _kill(self, pid: int, number: int) -> None:
        if number == signal.SIGKILL:
            assert {name for name, one in self.pid_of.items() if one == pid} <= self.held
            del self.state[pid]
        else:
            self.state[pid] = "T" if number == signal.SIGSTOP else "S"

    # What the probes see.
    def _runs(self, service: Service) -> bool:
        return self.state.get(self.pid_of[service.name]) == "S"

    def _well(self, services: Iterable[Service]) -> list[Service]:
        cut = {Counter(way.gid for way in ways).most_common(1)[0][0] for ways in self.rules.values()}
        return [service for service in services if self.blunt or (self._runs(service) and service.gid not in cut)]

    def _kafka_view(self, address: tuple[str, int], _timeout_s: float, _topic: str) -> KafkaView | None:
        (broker,) = (one for one in KAFKA if (one.host, one.ports["client"]) == address)
        ids = [one.index + 1 for one in self._well(KAFKA)]
        partitions = range(TOPOLOGY.settings.partitions)
        view = KafkaView(
            node_ids=frozenset(ids),
            leaders={number: ids[number % len(ids)] for number in partitions if ids},
            isr=dict.fromkeys(partitions, frozenset(ids)),
            replicas=dict.fromkeys(partitions, frozenset({1, 2, 3})),
        )
        return view if self._runs(broker) else None

    def _kafka_controller(self, address: tuple[str, int], _timeout_s: float) -> int | None:
        (broker,) = (one for one in KAFKA if (one.host, one.ports["controller"]) == address)
        well = self._well(KAFKA)
        return well[0].index + 1 if self._runs(broker) and len(well) > 1 else None

    def _cassandra_view(self, address: tuple[str, int], _timeout_s: float) -> CassandraView | None:
        self.now_s += 1
        well = [node.host for node in self._well(CASSANDRA)]
        beats = {node.host: (1, int(self.now_s) if node.host in well else 0) for node in CASSANDRA}
        return CassandraView(host=address[0], heartbeats=beats)

    def _cassandra_replicas(self, _address: tuple[str, int], _timeout_s: float) -> Replicas:
        return Replicas(alive=len(self._well(CASSANDRA)), required=3)

    def _ask(self, _role: str, address: tuple[str, int], _timeout_s: float) -> Answer:
        (service,) = (one for one in (*KAFKA, *CASSANDRA) if address in {(one.host, p) for p in one.ports.values()})
        return Answer(how="whole" if self._runs(service) or self.blunt else "silence", took_s=0.5)

    def _connect(self, address: tuple[str, int], timeout: float) -> None:
        (service,) = (one for one in (*KAFKA, *CASSANDRA) if address in {(one.host, p) for p in one.ports.values()})
        assert not self._runs(service)
        raise ConnectionRefusedError(timeout)

    def _monotonic(self) -> float:
        self.now_s += nodes.UNHEARD_S / 2
        return self.now_s


GONE = r"pid \d+ is gone; ports [\d, ]+ refuse connections"
IN_SYNC = "every broker sees all 3 alive and in sync in 8 partitions"
HEARD = "all 3 nodes hear each other and find every replica"


def let_go(name: str, leaders: str) -> str:
    return f"the others have {name} in sync nowhere, and all partitions led by {leaders}"


def unheard(name: str) -> str:
    return rf"the others hear each other and have not heard {name} for \d+ s"


COURSES = {
    "kafka_crash petrel-1": (
        f"{GONE}; {let_go('kafka-2', 'kafka-1, kafka-3')}",
        rf"kafka-2 has new pid \d+; {IN_SYNC}",
    ),
    "kafka_controller_crash controller": (
        f"{GONE}; kafka-2 is the controller; {let_go('kafka-1', 'kafka-2, kafka-3')}",
        rf"kafka-1 has new pid \d+; {IN_SYNC}",
    ),
    "kafka_pause petrel-0": (
        rf"pid \d+ is in state T; kafka-1: no answer in 0.5 s; {let_go('kafka-1', 'kafka-2, kafka-3')}",
        rf"pid \d+ is in state S; {IN_SYNC}",
    ),
    "kafka_controller_pause controller": (
        r"pid \d+ is in state T; kafka-1: no answer in 0.5 s; kafka-2 is the controller",
        rf"pid \d+ is in state S; {IN_SYNC}",
    ),
    "kafka_quorum_loss kafka-1+kafka-3": (
        f"{GONE}; {GONE}; kafka-2 answers and is not the controller",
        rf"kafka-1 has new pid \d+; kafka-3 has new pid \d+; {IN_SYNC}",
    ),
    "partition_kafka kafka-2": (
        f"packets dropped: 4 from kafka-2, 2 from kafka-1, 2 from kafka-3; {let_go('kafka-2', 'kafka-1, kafka-3')}",
        IN_SYNC,
    ),
    "partition_kafka_one_way petrel-0": (
        f"packets dropped: 4 from kafka-2; {let_go('kafka-2', 'kafka-1, kafka-3')}",
        IN_SYNC,
    ),
    "cassandra_crash cassandra-2": (
        f"{GONE}; {unheard('cassandra-2')}",
        rf"cassandra-2 has new pid \d+; {HEARD}",
    ),
    "cassandra_pause cassandra-1": (
        rf"pid \d+ is in state T; cassandra-1: no answer in 0.5 s; {unheard('cassandra-1')}",
        rf"pid \d+ is in state S; {HEARD}",
    ),
    "cassandra_quorum_loss cassandra-1+cassandra-2": (
        f"{GONE}; {GONE}; cassandra-3 finds 1 of 3 replicas",
        rf"cassandra-1 has new pid \d+; cassandra-2 has new pid \d+; {HEARD}",
    ),
    "partition_cassandra cassandra-3": (
        f"packets dropped: 2 from cassandra-3, 1 from cassandra-1, 1 from cassandra-2; {unheard('cassandra-3')}",
        HEARD,
    ),
    "partition_cassandra_one_way cassandra-1": (
        f"packets dropped: 2 from cassandra-1; {unheard('cassandra-1')}",
        HEARD,
    ),
}


@pytest.mark.parametrize("course", COURSES)
def test_every_look_is_taken_in_its_order_and_each_step_is_undone(monkeypatch: pytest.MonkeyPatch, course: str) -> None:
    name, target = course.split()
    effect, health = COURSES[course]
    pretend = Pretend(monkeypatch)
    world = World(topology=TOPOLOGY, processes=pretend, links=None, packets=pretend)  # type: ignore[arg-type]
    fault = FAULTS[name](world, target, {})
    steps = fault.arm()
    fault.inject()
    proof = fault.effective()
    for _look in range(20):
        if proof:
            break
        proof = fault.effective()
    assert proof, proof.text
    assert re.fullmatch(effect, fault.effective().text), fault.effective().text
    with pytest.raises(FaultError):
        FAULTS["partition_kafka" if "kafka" in name else "cassandra_crash"](world, f"{fault.kind}-2", {}).arm()
    assert not fault.healed()
    pretend.blunt = True  # the others notice nothing: then the damage alone is no proof
    assert not fault.effective()
    pretend.blunt = False
    assert undo.apply(steps, world) == []
    assert not pretend.held
    assert not pretend.rules
    for _look in range(20):
        if proof := fault.healed():
            break
    assert proof, proof.text
    assert re.fullmatch(health, proof.text), proof.text


def test_every_fault_on_the_cluster_has_its_course_here() -> None:
    on_cluster = {name for name, fault in FAULTS.items() if fault.kind in {"kafka", "cassandra"}}
    assert {course.split()[0] for course in COURSES} == on_cluster - {"disk_full"}  # that one needs a real disk
