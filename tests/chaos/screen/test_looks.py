"""What the looks at Kafka and Cassandra conclude from what nodes say, for sayings that a real cluster seldom has."""

import itertools
from collections.abc import Mapping

import pytest

from chaos.errors import FaultError
from chaos.faults import FAULTS, World
from chaos.faults.fault import unavailable
from chaos.faults.proofs import brokers, nodes
from chaos.faults.proofs.brokers import Brokers
from chaos.faults.proofs.nodes import UNHEARD_S, Nodes
from chaos.faults.proofs.proof import must
from sut.adapters.cassandra.probe import CassandraView, Replicas
from sut.adapters.kafka.probe import KafkaView
from sut.deploy.topology import Link, Service, Settings, Topology

KAFKA = tuple(
    Service(
        name=f"kafka-{n}", kind="kafka", index=n - 1, host=f"127.0.1.{n}", ports={"client": 1, "controller": 2}, gid=n
    )
    for n in (1, 2, 3)
)
CASSANDRA = tuple(
    Service(name=f"cassandra-{n}", kind="cassandra", index=n - 1, host=f"127.0.2.{n}", ports={"cql": 1}, gid=10 + n)
    for n in (1, 2, 3)
)
TOPOLOGY = Topology(
    run_id="r", profile="made-up", dir="/", services=(*KAFKA, *CASSANDRA), token_key="00", api_key="k",
    settings=Settings(partitions=2),
)  # fmt: skip
ALL = frozenset({1, 2, 3})


def kafka_says(leaders: Mapping[int, int], isr: Mapping[int, set[int]], alive: frozenset[int] = ALL) -> KafkaView:
    return KafkaView(
        node_ids=alive,
        leaders=leaders,
        isr={number: frozenset(nodes) for number, nodes in isr.items()},
        replicas=dict.fromkeys(isr, ALL),
    )


WHOLE = kafka_says({0: 1, 1: 2}, {0: {1, 2, 3}, 1: {1, 2, 3}})
WITHOUT_1 = kafka_says({0: 3, 1: 2}, {0: {2, 3}, 1: {2, 3}}, frozenset({2, 3}))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> dict[str, KafkaView | None]:
    """What each broker says now, by its address; to be changed."""
    says: dict[str, KafkaView | None] = {broker.host: WHOLE for broker in KAFKA}
    monkeypatch.setattr(brokers.probe, "kafka_view", lambda address, _timeout_s, _topic: says[address[0]])
    return says


def test_a_whole_cluster_is_whole_and_each_lack_is_named(cluster: dict[str, KafkaView | None]) -> None:
    look = Brokers(TOPOLOGY).whole
    assert look().text == "every broker sees all 3 alive and in sync in 2 partitions"
    lacks = (
        (None, "kafka-2 does not answer"),
        (kafka_says({0: 1, 1: 2}, {0: {1, 2, 3}, 1: {1, 2, 3}}, frozenset({1, 2})), "kafka-2 does not see kafka-3"),
        (kafka_says({0: 1, 1: 2}, {0: {1, 2, 3}, 1: {1, 2}}), "kafka-2 sees 1 partitions out of sync"),
        (kafka_says({0: 1}, {0: {1, 2, 3}, 1: {1, 2, 3}}), "kafka-2 sees 0 partitions out of sync"),
    )
    for said, text in lacks:
        cluster["127.0.1.2"] = said
        assert (look().ok, look().text) == (False, text)
        with pytest.raises(FaultError, match=text):
            must(Brokers(TOPOLOGY).ready())


def test_a_broker_is_let_go_only_when_all_others_say_so(cluster: dict[str, KafkaView | None]) -> None:
    look = Brokers(TOPOLOGY).lost
    cluster["127.0.1.1"] = WHOLE  # what the one that is away believes does not matter
    cluster["127.0.1.2"] = WITHOUT_1
    assert look(KAFKA[0]).text == "kafka-3 still has kafka-1 in sync in 2 partitions"
    cluster["127.0.1.3"] = kafka_says({1: 2}, {0: {2, 3}, 1: {2, 3}})
    assert look(KAFKA[0]).text == "kafka-3 knows no other leader for each partition yet"
    cluster["127.0.1.3"] = kafka_says({0: 1, 1: 2}, {0: {2, 3}, 1: {2, 3}})
    assert not look(KAFKA[0])
    cluster["127.0.1.3"] = None
    assert look(KAFKA[0]).text == "kafka-3 does not answer"
    cluster["127.0.1.3"] = WITHOUT_1
    proof = look(KAFKA[0])
    assert (proof.ok, proof.text) == (
        True,
        "the others have kafka-1 in sync nowhere, and all partitions led by kafka-2, kafka-3",
    )


def test_who_leads_and_who_controls_is_asked_of_those_that_answer(
    cluster: dict[str, KafkaView | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    controllers: dict[str, int | None] = {"127.0.1.1": None, "127.0.1.2": 2, "127.0.1.3": None}
    monkeypatch.setattr(
        brokers.probe, "kafka_controller", lambda address, _s: controllers[address[0]] if address[1] == 2 else 9
    )
    look = Brokers(TOPOLOGY)
    cluster["127.0.1.1"] = None
    assert look.leader("petrel-1").name == "kafka-2"
    assert look.controller().name == "kafka-2"
    assert look.succeeded(KAFKA[1]).text == "no node is the controller"
    controllers["127.0.1.3"] = 2  # it has not heard of any change yet
    assert not look.succeeded(KAFKA[1])
    controllers["127.0.1.3"] = None
    assert look.succeeded(KAFKA[0]).text == "kafka-2 is the controller"
    assert look.alone(KAFKA[1]).text == "kafka-2 is still the controller"
    assert look.alone(KAFKA[2])
    cluster.update(dict.fromkeys(cluster))
    with pytest.raises(FaultError, match="no broker leads petrel-0"):
        look.leader("petrel-0")


class Gossip:
    """Three nodes that count their heartbeats; `deaf` pairs (who, whom) do not hear of each other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.deaf: set[tuple[int, int]] = set()
        self.silent: set[int] = set()
        self.alive = 3
        self._known: dict[tuple[int, int], int] = dict.fromkeys(itertools.product((1, 2, 3), repeat=2), 0)
        monkeypatch.setattr(nodes.time, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(nodes.probe, "cassandra_view", self._view)
        monkeypatch.setattr(nodes.probe, "cassandra_replicas", lambda _a, _s: Replicas(alive=self.alive, required=3))

    def passes(self, seconds: float) -> None:
        self.now_s += seconds
        for pair in self._known:
            if pair not in self.deaf:
                self._known[pair] = int(self.now_s)

    def _view(self, address: tuple[str, int], _timeout_s: float) -> CassandraView | None:
        me = int(address[0][-1])
        if me in self.silent:
            return None
        beats = {f"127.0.2.{other}": (1, self._known[me, other]) for other in (1, 2, 3)}
        return CassandraView(host=address[0], heartbeats=beats)


def test_a_node_is_unheard_when_the_others_heard_each_other_and_not_it_for_long_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gossip, look = Gossip(monkeypatch), Nodes(TOPOLOGY)
    gossip.passes(10)
    assert not look.lost(CASSANDRA[0])
    gossip.passes(1)
    assert look.lost(CASSANDRA[0]).text == "cassandra-2 still hears cassandra-1"
    gossip.deaf = {(2, 1), (3, 1)}
    gossip.passes(UNHEARD_S - 1)
    assert look.lost(CASSANDRA[0]).text == f"cassandra-2 has listened for {UNHEARD_S - 1:.1f} s"
    gossip.passes(1)
    assert look.lost(CASSANDRA[0]).text == "cassandra-3 has listened for 0.0 s"
    gossip.passes(UNHEARD_S)
    assert look.lost(CASSANDRA[0])
    gossip.deaf.add((2, 3))  # it hears nobody at all: that proves nothing
    deaf = Nodes(TOPOLOGY)
    assert not deaf.lost(CASSANDRA[0])
    gossip.passes(UNHEARD_S)
    assert not deaf.lost(CASSANDRA[0])
    gossip.deaf = {(2, 1)}
    gossip.passes(1)
    assert look.lost(CASSANDRA[0]).text == "cassandra-3 still hears cassandra-1"


def test_nodes_are_whole_when_each_hears_all_and_finds_every_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    gossip, look = Gossip(monkeypatch), Nodes(TOPOLOGY)
    gossip.passes(10)
    assert not look.whole()
    gossip.deaf = {(3, 2)}
    gossip.passes(2)
    assert not look.whole()
    gossip.passes(2)
    assert look.whole().text == "cassandra-3 does not hear cassandra-2"
    gossip.deaf = set()
    gossip.silent = {2}
    gossip.passes(2)
    assert look.whole().text == "cassandra-2 does not answer"
    gossip.silent = set()
    assert not look.whole()
    gossip.passes(2)
    gossip.alive = 2
    assert look.whole().text == "cassandra-1 finds 2 replicas"
    with pytest.raises(FaultError, match="cassandra-1 finds 2 replicas"):
        must(look.ready())
    gossip.alive = 3
    assert look.whole().text == "all 3 nodes hear each other and find every replica"


def test_servers_that_somebody_else_runs_are_no_target() -> None:
    import msgspec

    kinds = ("kafka", "cassandra", "redis", "sentinel")
    theirs = [Service(name=f"{k}-{n}", kind=k, index=n, external=True, volume="v") for k in kinds for n in (1, 2, 3)]
    links = tuple(Link(source="chat-1", target=service.name, port="client", listen=1) for service in theirs)
    gateway = Service(name="gateway-1", kind="gateway")
    topology = msgspec.structs.replace(TOPOLOGY, services=(*theirs, gateway), links=links)
    with_target = {name for name, fault in FAULTS.items() if fault.targets(topology)}
    ours = {name for name in FAULTS if name.startswith(("gateway", "link_"))}
    assert with_target == {name for name in ours if "_clock_" not in name}, "no clock is set to be moved"


def test_a_broker_without_a_disk_of_its_own_says_what_it_takes() -> None:
    disk_full = FAULTS["disk_full"]
    assert unavailable(disk_full, topology=TOPOLOGY, lacks={}) == (
        "needs root: a small disk of its own for a broker is a mount"
    )
    import msgspec

    bare = msgspec.structs.replace(TOPOLOGY, services=())
    assert unavailable(disk_full, topology=bare, lacks={}) == "the made-up topology has no target for it"
    why = unavailable(FAULTS["partition_kafka"], topology=TOPOLOGY, lacks={"packets": lambda: "needs root"})
    assert why == "needs root"


def test_without_groups_of_their_own_nodes_are_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    class Alive:
        def pid(self, _name: str) -> int:
            return 1

    services = tuple(msgspec.structs.replace(service, gid=0) for service in KAFKA)
    topology = msgspec.structs.replace(TOPOLOGY, services=services)
    world = World(topology=topology, processes=Alive(), links=None, packets=None)  # type: ignore[arg-type]
    with pytest.raises(FaultError, match="kafka-1 has no group of its own"):
        FAULTS["partition_kafka"](world, "kafka-1", {}).arm()


@pytest.mark.parametrize(
    ("packets", "ok"),
    [({1: 96, 2: 0, 3: 12}, True), ({1: 96}, True), ({1: 0, 2: 5, 3: 5}, False), ({}, False)],
)
def test_a_partition_is_proven_by_the_victims_packets_for_a_peer_may_have_nothing_to_send(
    cluster: dict[str, KafkaView | None], packets: dict[int, int], ok: bool
) -> None:
    """`storm` with seed 2: one of the two peers followed nothing that the victim led, and lost no packet in 15 s."""

    class Cut:
        def dropped(self, _reason: str) -> dict[int, int]:
            return packets

    class Alive:
        def pid(self, _name: str) -> int:
            return 1

    world = World(topology=TOPOLOGY, processes=Alive(), links=None, packets=Cut())  # type: ignore[arg-type]
    fault = FAULTS["partition_kafka"](world, "kafka-1", {})
    fault.arm()
    for broker in KAFKA[1:]:
        cluster[broker.host] = WITHOUT_1
    proof = fault.effective()
    assert bool(proof) == ok, proof.text
    assert proof.text.startswith("packets dropped: ")
