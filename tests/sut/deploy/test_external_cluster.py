"""A system on real servers that somebody else runs: named by one address of each kind, used, and left as they were."""

import io
from pathlib import Path

import msgspec
import psutil
import pytest
from rich.console import Console

from chaos.cli import lifecycle
from chaos.errors import VALID
from chaos.faults import FAULTS
from sut.adapters.kafka import probe as kafka_probe
from sut.deploy.errors import DeployError
from sut.deploy.machine import place_on_this_machine
from sut.deploy.profiles import PROFILES, build
from sut.deploy.servers import jars
from sut.deploy.servers.external import Servers
from sut.deploy.supervise.reaper import members, reap
from sut.deploy.system import System
from sut.deploy.topology import Settings, Topology
from tests.kit.pace import scaled
from tests.sut.deploy.conftest import Workshop, cut

KINDS = ("kafka", "cassandra", "redis", "sentinel")
START_S = 240.0
"""Six JVMs on a machine that other tests may share."""


def servers_only(workshop: Workshop) -> Topology:
    for server in jars.SERVERS:
        if reason := jars.find(server, on_progress=print).reason:
            pytest.skip(f"no {server}: {reason}")
    try:
        place = place_on_this_machine(
            PROFILES["cluster"],
            directory=workshop.base / "theirs",
            port=workshop.reservation.port,
            settings=Settings(),
            variant=None,
            on_progress=print,
        )
    except DeployError as error:
        pytest.skip(str(error))
    topology = msgspec.structs.replace(build("cluster", place), redis_key="")  # others' servers have no users
    workshop.run_ids.append(topology.run_id)
    names = [service.name for service in topology.services if service.kind in (*KINDS, "volume")]
    return cut(topology, *names)


def pids(system: System) -> dict[str, int]:
    return {name: process.pid for name, process in system.state().items()}


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_system_on_anothers_servers_uses_them_and_leaves_them_running(workshop: Workshop, tmp_path: Path) -> None:
    theirs = workshop.boot(servers_only(workshop), timeout_s=START_S)
    before = pids(theirs)
    asked = [theirs.topology.of_kind(kind)[1] for kind in ("kafka", "cassandra", "sentinel")]
    servers = Servers(
        kafka=((asked[0].host, asked[0].ports["client"]),),
        cassandra=((asked[1].host, asked[1].ports["cql"]),),
        sentinels=((asked[2].host, asked[2].ports["redis"]),),
    )
    directory = tmp_path / "ours"
    console = Console(file=io.StringIO())
    assert lifecycle.up(profile="cluster", directory=directory, servers=servers, console=console) == VALID
    ours = System.attach(directory)
    try:
        check_ours(ours, theirs.topology)
        assert lifecycle.status(directory=directory, console=console) == VALID
        assert lifecycle.down(directory=directory, console=console) == VALID
        assert members(ours.topology.run_id) == {}
        assert pids(theirs) == before
        assert all(psutil.pid_exists(pid) for pid in before.values())
        assert theirs.problems(timeout_s=scaled(5.0)) == {}
    finally:
        reap(ours.topology.run_id, grace_s=0.2)


def check_ours(ours: System, theirs: Topology) -> None:
    topology = ours.topology
    for kind in KINDS:
        own = {(service.host, *service.ports.values()) for service in topology.of_kind(kind)}
        role = {"kafka": "client", "cassandra": "cql"}.get(kind, "redis")
        assert own == {(service.host, service.ports[role]) for service in theirs.of_kind(kind)}
    others = {service.name for service in topology.services if service.external}
    assert len(others) == 12
    assert {name for name, process in ours.state().items() if process.status == "external"} == others
    assert not set(members(topology.run_id).values()) & others
    assert {link.target for link in topology.links} >= {"kafka-1", "cassandra-3", "redis-2"}
    for name, fault in FAULTS.items():
        if "link" not in name and "partition" not in name:
            assert not others & set(fault.targets(topology)), name

    # What was made on their servers has a name of ours alone.
    run = topology.run_id
    assert (topology.topic, topology.keyspace) == (f"petrel-{run}", f"petrel_{run}")
    kafka = topology.service("kafka-1")
    at = kafka.host, kafka.ports["client"]
    assert len(kafka_probe.view(at, 5.0, topology.topic).replicas) == topology.settings.partitions
    assert kafka_probe.view(at, 5.0, "petrel").replicas == {}
