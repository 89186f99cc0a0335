"""Servers that somebody else runs: who belongs to them, and one clear line for each that is not what it should be."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import msgspec
import pytest

from sut.adapters.redis import admin as redis_admin
from sut.deploy.errors import DeployError
from sut.deploy.servers import external
from sut.deploy.servers.external import Servers, discover, named, parse_addresses
from sut.deploy.topology import Topology
from tests.sut.deploy.conftest import Workshop

Address = tuple[str, int]


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[Address]:
    """Somebody who says this to whoever says something, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def brokers_answer(*brokers: tuple[int, str, int]) -> bytes:
    """What a Kafka says to a Metadata request of version 7 for no topic."""
    body = struct.pack(">iii", 1, 0, len(brokers))
    for node, host, port in brokers:
        body += struct.pack(">ih", node, len(host)) + host.encode() + struct.pack(">ih", port, -1)
    body += struct.pack(">h", -1) + struct.pack(">ii", brokers[0][0], 0)
    return struct.pack(">i", len(body)) + body


def refusal(**servers: object) -> str:
    """The one line that ends the start."""
    with pytest.raises(DeployError) as caught:
        discover(Servers(**servers))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("a:1", (("a", 1),)),
        ("a.example.net:9092, 10.0.0.1:65535", (("a.example.net", 9092), ("10.0.0.1", 65535))),
        ("[::1]:9092", (("::1", 9092),)),
        ("a:1,b:2,a:1", (("a", 1), ("b", 2))),
    ],
)
def test_addresses_are_read(text: str, addresses: tuple[Address, ...]) -> None:
    assert parse_addresses(text) == addresses


@pytest.mark.parametrize(
    "text", ["", "a", "a:", ":1", "a:0", "a:65536", "a:1,", "a:1;b:2", "a b:1", "::1:9092", "a:\uff11"]
)
def test_what_is_no_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"^'.*' is not HOST:PORT$"):
        parse_addresses(text)


def test_nobody_named_is_nobody_asked() -> None:
    assert discover(Servers()) == {}
    assert Servers().kinds == frozenset()
    assert Servers(sentinels=(("a", 1),)).kinds == {"redis", "sentinel"}


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown command\r\n", b""])
def test_who_is_no_kafka_or_cassandra_or_sentinel_is_told_so(answer: bytes) -> None:
    with answering(answer) as address:
        at = f"{address[0]}:{address[1]}"
        for kind, field in (("kafka", "kafka"), ("cassandra", "cassandra")):
            said = refusal(**{field: (address,)})
            assert said.startswith(f"{kind} {at}: ")
            assert said.endswith(" (does it ask for TLS or a password? see --secrets)")
            assert any(text in said for text in ("not as a Kafka", "not as a Cassandra", "closed the connection")), said
        assert refusal(sentinels=(address,)).startswith(f"sentinel {at}: ")


def test_who_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = silent.getsockname()
        for field in ("kafka", "cassandra", "sentinels"):
            assert f"{address[0]}:{address[1]}: " in refusal(**{field: (address,)})


def test_too_few_brokers_for_three_replicas() -> None:
    with answering(brokers_answer((1, "127.0.0.1", 9092))) as address:
        assert refusal(kafka=(address,)) == "kafka: 1 broker, and 3 replicas need 3"
    with answering(brokers_answer((1, "127.0.0.1", 9092), (2, "127.0.0.1", 9093))) as address:
        assert refusal(kafka=(address,)) == "kafka: 2 brokers, and 3 replicas need 3"


def test_a_broker_that_names_itself_by_an_address_of_no_use_here() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with answering(brokers_answer(*((node, "127.0.0.1", port) for node in (1, 2, 3)))) as address:
            said = refusal(kafka=(address,))
    assert said.startswith(
        f"kafka at {address[0]}:{address[1]} names a member that cannot be used from here: kafka 127.0.0.1:{port}: "
    )


def test_brokers_become_services_in_the_order_of_their_ids() -> None:
    """By whatever id and address they have."""
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(answering(brokers_answer((7, "x", 1)))) for _ in range(3)]
        ids = (30, 10, 20)
        asked = stack.enter_context(
            answering(brokers_answer(*((node, "localhost", at[1]) for node, at in zip(ids, others, strict=True))))
        )
        found = discover(Servers(kafka=(("127.0.0.1", 1), asked)))
    assert [(service.name, service.host, service.ports) for service in found["kafka"]] == [
        ("kafka-1", "localhost", {"client": others[1][1]}),
        ("kafka-2", "localhost", {"client": others[2][1]}),
        ("kafka-3", "localhost", {"client": others[0][1]}),
    ]
    assert all(service.external and not service.command for service in found["kafka"])


def test_names_on_shared_servers_are_the_runs_own_unless_they_are_given() -> None:
    topology = Topology(run_id="ab12", profile="cluster", dir="/x", services=(), token_key="00", api_key="k")
    assert named(topology, Servers()) == topology
    here = (("a", 1),)
    all_theirs = named(topology, Servers(kafka=here, cassandra=here, sentinels=here, redis_master="m"))
    assert (all_theirs.topic, all_theirs.keyspace, all_theirs.log_id) == ("petrel-ab12", "petrel_ab12", "")
    assert all_theirs.redis_master == "m"
    assert named(topology, Servers(kafka=here)) == msgspec.structs.replace(topology, topic="petrel-ab12")
    given = named(topology, Servers(kafka=here, topic="t", cassandra=here, keyspace="k", log_id="earlier"))
    assert (given.topic, given.keyspace, given.log_id) == ("t", "k", "earlier")


REDIS = ("redis-1", "redis-2", "sentinel-1", "sentinel-2", "sentinel-3")


def test_one_sentinel_is_enough_to_find_all_of_them(workshop: Workshop) -> None:
    theirs = msgspec.structs.replace(workshop.topology(*REDIS), redis_key="")
    system = workshop.boot(theirs)
    try:
        asked = theirs.service("sentinel-2")
        one = ("127.0.0.1", asked.ports["redis"])
        found = discover(Servers(sentinels=(one,)))
        assert [service.ports["redis"] for service in found["redis"]] == [
            theirs.service("redis-1").ports["redis"],
            theirs.service("redis-2").ports["redis"],
        ]
        assert {service.ports["redis"] for service in found["sentinel"]} == {
            service.ports["redis"] for service in theirs.of_kind("sentinel")
        }
        assert found["sentinel"][0].ports == asked.ports
        two = (one, ("127.0.0.1", theirs.service("sentinel-3").ports["redis"]))
        assert len(discover(Servers(sentinels=two))["sentinel"]) == 3
        said = refusal(sentinels=(one,), redis_master="mymaster")
        assert said == f"sentinel 127.0.0.1:{one[1]}: knows no master 'mymaster'; it watches petrel"
        redis = ("127.0.0.1", theirs.service("redis-1").ports["redis"])
        with redis_admin.asking(redis, 1.0) as ask:
            ask("SADD", "nodes", "gateway-1", "gateway-2")
            ask("SET", "lease:gateway-2", "1", "EX", "60")
        assert refusal(sentinels=(one,)).startswith("redis petrel: gateway-2 of another system use it, or did ")
        assert refusal(sentinels=(redis,)).startswith(f"sentinel 127.0.0.1:{redis[1]}: ")
    finally:
        system.stop()
