"""One broker by SASL_SSL and one node by TLS with passwords: the clients of our processes and the probes are let in.

One of each is enough for that, and starts sooner than a cluster. tests/system/test_guarded_run.py has the whole.
"""

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from cassandra.cluster import NoHostAvailable

from sut.adapters.cassandra import probe as cql_probe
from sut.adapters.cassandra.policies import make_cluster
from sut.adapters.kafka import probe as kafka_probe
from sut.adapters.kafka.cluster import KafkaCluster
from sut.deploy.logins import Login
from sut.deploy.servers import cassandra, jars, kafka
from sut.deploy.topology import Topology
from sut.ports import Unavailable
from tests.kit.guarded import USER, Guard, add_scram_user, guard_cassandra, guard_kafka
from tests.kit.pace import scaled
from tests.sut.deploy.conftest import Workshop, cut
from tests.sut.deploy.test_external_cluster import servers_only

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(600)]

T = TypeVar("T")


@pytest.fixture
def made(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> tuple[Guard, Topology]:
    """A broker and a node that are configured, and not started."""
    topology = cut(servers_only(workshop), "kafka-1", "cassandra-1")
    guard = Guard(workshop.base / "guard", tuple(service.host for service in topology.services))
    guard_kafka(guard, monkeypatch)
    guard_cassandra(guard, monkeypatch)
    ways = guard.ways()
    ways["kafka"]["mechanism"] = "PLAIN"
    ways["cassandra"] |= {"user": "cassandra", "password": "cassandra"}  # the superuser of a new cluster
    topology = msgspec.structs.replace(topology, secrets=str(guard.file("secrets.yaml", ways)))
    for service, server in zip(topology.services, (kafka, cassandra), strict=True):
        server.write_conf(topology, service)
    workshop.reservation.close()
    return guard, topology


@pytest.fixture
def started(made: tuple[Guard, Topology], tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Starts a server of the topology."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(name: str) -> None:
        with (tmp_path / f"{name}.log").open("wb") as log:
            command = made[1].service(name).command
            processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=tmp_path))

    yield start
    for process in processes:
        process.kill()
        process.wait()


def answered(ask: Callable[[], T]) -> T:
    """Ask until there is an answer."""
    end_s = time.monotonic() + scaled(60)
    while True:
        try:
            return ask()
        except Unavailable:
            if time.monotonic() > end_s:
                raise
            time.sleep(1)


def test_a_broker_lets_in_by_plain_and_scram(made: tuple[Guard, Topology], started: Callable[[str], None]) -> None:
    guard, topology = made
    started("kafka-1")
    broker = topology.service("kafka-1")
    address, plain = (broker.host, broker.ports["client"]), topology.login("kafka")
    assert plain is not None

    def asked(login: Login | None) -> tuple[set[tuple[str, int]], str]:
        async def ask() -> tuple[set[tuple[str, int]], str]:
            cluster = KafkaCluster({address: address}, ("none",), client_id="test", login=login)
            await cluster.renew(timeout_s=scaled(5))
            try:
                return set(cluster.map.brokers.values()), cluster.trouble()
            finally:
                await cluster.close()

        return asyncio.run(ask())

    assert answered(lambda: kafka_probe.brokers(address, scaled(3), plain)) == {1: address}
    found = jars.find("kafka", on_progress=print).path
    assert found is not None
    add_scram_user(topology, guard, found)
    for login in (plain, plain._replace(mechanism="SCRAM-SHA-512")):
        assert kafka_probe.brokers(address, scaled(3), login) == {1: address}
        assert asked(login)[0] == {address}
        wrong = login._replace(password="S3-wrong")
        brokers, said = asked(wrong)
        assert brokers == set()
        assert "SaslAuthenticationFailed" in said
        with pytest.raises(Unavailable, match=f"refuses the login of {USER}: ") as caught:
            kafka_probe.brokers(address, scaled(3), wrong)
        assert "S3-" not in said + str(caught.value)
    with pytest.raises(Unavailable, match="takes no login by SCRAM-SHA-256, but by "):
        kafka_probe.brokers(address, scaled(3), plain._replace(mechanism="SCRAM-SHA-256"))
    assert asked(None)[0] == set()


def test_a_node_lets_in_by_password_and_tls(made: tuple[Guard, Topology], started: Callable[[str], None]) -> None:
    _, topology = made
    started("cassandra-1")
    node = topology.service("cassandra-1")
    address, login = (node.host, node.ports["cql"]), topology.login("cassandra")
    assert login is not None

    def asked(login: Login | None) -> object:
        cluster = make_cluster({address: address}, deadline_s=scaled(5), login=login)
        try:
            return cluster.connect().execute("SELECT cluster_name FROM system.local").one()[0]
        finally:
            cluster.shutdown()

    assert answered(lambda: cql_probe.members(address, scaled(3), login)) == (address,)
    assert asked(login) == "petrel"
    wrong = login._replace(password="S3-wrong")
    with pytest.raises(NoHostAvailable, match="Bad credentials") as caught:
        asked(wrong)
    assert "S3-" not in str(caught.value)
    with pytest.raises(Unavailable, match="refuses the login of cassandra: "):
        cql_probe.members(address, scaled(3), wrong)
    with pytest.raises(NoHostAvailable):
        asked(None)
