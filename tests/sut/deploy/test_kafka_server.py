"""What three Kafka nodes are configured to be, without starting one."""

from pathlib import Path

import pytest

from sut.deploy.place import Place
from sut.deploy.servers import kafka as kafka_server
from sut.deploy.supervise.reservation import Reservation
from sut.deploy.topology import Service, Settings, Topology


@pytest.fixture
def topology(tmp_path: Path) -> Topology:
    with Reservation() as reservation:
        place = Place(
            directory=tmp_path,
            redis_server=Path("none"),
            toxiproxy=None,
            port=reservation.port,
            settings=Settings(),
            variant=None,
            kafka_jars=Path("/jars"),
            subnet="127.9.8",
            gid=iter(range(1, 9)).__next__,
        )
        services = kafka_server.services("kafka", 3, place)
    made = Topology(
        run_id="0123", profile="kafka", dir=str(tmp_path), token_key="", api_key="", services=services
    )  # fmt: skip
    for service in services:
        kafka_server.write_conf(made, service)
    return made


def properties(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def conf(topology: Topology, service: Service) -> dict[str, str]:
    return properties(kafka_server.conf_dir(topology.path, service.name) / "server.properties")


def test_three_nodes_each_on_a_host_and_with_a_group_of_its_own(topology: Topology) -> None:
    assert [service.name for service in topology.services] == ["kafka-1", "kafka-2", "kafka-3"]
    assert [service.host for service in topology.services] == ["127.9.8.1", "127.9.8.2", "127.9.8.3"]
    assert len({service.gid for service in topology.services}) == 3
    for service in topology.services:
        assert set(service.ports) == {"client", "replication", "controller"}
        assert Path(service.command[0]).name == "java"
        assert service.command[-2:] == (
            "kafka.Kafka",
            str(kafka_server.conf_dir(topology.path, service.name) / "server.properties"),
        )


def test_every_node_names_the_same_quorum_and_its_own_listeners(topology: Topology) -> None:
    found = [conf(topology, service) for service in topology.services]
    assert len({each["controller.quorum.voters"] for each in found}) == 1
    for service, each in zip(topology.services, found, strict=True):
        node = service.index + 1
        assert each["node.id"] == str(node)
        assert f"{node}@{service.host}:{service.ports['controller']}" in each["controller.quorum.voters"].split(",")
        listeners = dict(part.split("://") for part in each["listeners"].split(","))
        assert listeners == {
            role.upper(): f"{service.host}:{service.ports[role]}" for role in ("client", "replication", "controller")
        }
        assert "CONTROLLER" not in each["advertised.listeners"]


def test_records_and_the_quorums_log_are_on_different_volumes_of_one_cluster(topology: Topology) -> None:
    ids = set()
    clusters = set()
    for service in topology.services:
        each = conf(topology, service)
        records, metadata = Path(each["log.dirs"]), Path(each["metadata.log.dir"])
        assert records == kafka_server.log_dir(topology.path, service.name)
        assert records not in (metadata, *metadata.parents)
        assert metadata not in records.parents
        for directory in (records, metadata):
            identity = properties(directory / "meta.properties")
            assert identity["node.id"] == each["node.id"]
            ids.add(identity["directory.id"])
            clusters.add(identity["cluster.id"])
    assert len(ids) == 6
    assert len(clusters) == 1
    assert all(len(each) == 22 and not each.startswith("AAAA") for each in ids | clusters)


def test_what_is_confirmed_is_safe(topology: Topology) -> None:
    for service in topology.services:
        each = conf(topology, service)
        assert each["min.insync.replicas"] == "2"
        assert each["unclean.leader.election.enable"] == "false"
        assert each["auto.create.topics.enable"] == "false"


def test_nobody_there_is_a_problem_in_a_word(topology: Topology) -> None:
    assert kafka_server.problem(topology, topology.services[0], 0.2) == "does not answer"
