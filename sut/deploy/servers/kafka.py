"""Three Kafka nodes on one machine: their processes, their configuration, and the check of one node's health.

Each is broker and controller in one JVM, on its own loopback address. It has three listeners: CLIENT for our processes
(through Toxiproxy), REPLICATION among the brokers, CONTROLLER for the quorum that elects leaders. The quorum is static.
No tool formats the disks. With a static quorum a node needs only a meta.properties in each directory before its first
start. Kafka's own tool costs a JVM per node to write it.

Records are not flushed to the disk before they are confirmed, as is usual for Kafka. The page cache survives a SIGKILL,
and the other replicas survive the loss of a machine.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sut.adapters.kafka import probe as kafka_probe
from sut.deploy.place import Place
from sut.deploy.servers.java import find_java
from sut.deploy.topology import Service, ServiceKind, Topology
from sut.ports import Unavailable

NODES: Final = 3
FIRST_HOST: Final = 1
"""Last octet of the first node's address."""
ROLES: Final = ("client", "replication", "controller")

_JVM: Final = (
    "-Xms384m", "-Xmx384m",
    "-Xss512k",
    "-XX:TieredStopAtLevel=1",      # a start costs 2.3 s of CPU instead of 4.3 s, and nothing is recompiled later
    "-XX:+UseSerialGC",             # on two cores that others need too, with a heap this small: shortest in all
    "-XX:+PerfDisableSharedMem",    # no statistics file in the temporary directory
    "-XX:+ExitOnOutOfMemoryError",  # a supervisor starts it again
)  # fmt: skip

_SETTINGS: Final[dict[str, object]] = {
    "process.roles": "broker,controller",
    "listener.security.protocol.map": "CLIENT:PLAINTEXT,REPLICATION:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "REPLICATION",
    "controller.listener.names": "CONTROLLER",
    # A confirmed record is on two brokers at least, and only a broker that has it may lead.
    "default.replication.factor": 3,
    "min.insync.replicas": 2,
    "unclean.leader.election.enable": "false",
    "auto.create.topics.enable": "false",
    # A dead or stopped broker loses its leadership after this long (9 s by default).
    "broker.session.timeout.ms": 2000,
    "broker.heartbeat.interval.ms": 400,
    # A dead or stopped controller is succeeded after this long (2 s by default), and an election takes no longer.
    "controller.quorum.fetch.timeout.ms": 1500,
    "controller.quorum.election.timeout.ms": 500,
    "controller.quorum.election.backoff.max.ms": 300,
    "controller.quorum.request.timeout.ms": 1000,
    # A lagging follower is dropped after this long (30 s by default). Until then a cut between brokers stops appends.
    "replica.lag.time.max.ms": 3000,
    "replica.fetch.wait.max.ms": 500,  # how long an idle follower's question waits: each costs CPU
    "replica.socket.timeout.ms": 2000,
    "num.replica.fetchers": 1,
    # Two cores for everything: threads beyond these only wait.
    "num.network.threads": 1,
    "num.io.threads": 4,
    "num.recovery.threads.per.data.dir": 2,
    "background.threads": 2,
    # Small pieces: a disk of 64 MB is enough for a node, and a start reads little.
    "log.segment.bytes": 16 << 20,
    "log.index.size.max.bytes": 256 << 10,
    "metadata.log.segment.bytes": 8 << 20,
    "log.cleaner.threads": 1,
    "log.cleaner.dedupe.buffer.size": 4 << 20,  # 128 MiB of the heap by default; the commits have few keys
    # Nothing here uses consumer groups; if something does, its offsets are on all three nodes.
    "offsets.topic.replication.factor": 3,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.replication.factor": 3,
    "transaction.state.log.min.isr": 2,
    "transaction.state.log.num.partitions": 1,
}  # fmt: skip


def services(_kind: ServiceKind, _count: int, place: Place) -> tuple[Service, ...]:
    """Return the three nodes with their complete commands. Raises OSError when there are no free ports."""
    java = find_java().path or "java"
    jars = place.kafka_jars
    assert jars is not None, "a profile with Kafka nodes needs their jars"
    made = []
    for index in range(NODES):
        name, host = f"kafka-{index + 1}", f"{place.subnet}.{FIRST_HOST + index}"
        conf = conf_dir(place.directory, name)
        command = (
            str(java),
            *_JVM,
            f"-Dlog4j2.configurationFile={conf / 'log4j2.properties'}",
            f"-Djava.io.tmpdir={conf}",
            "-cp",
            f"{jars}/*",
            "kafka.Kafka",
            str(conf / "server.properties"),
        )
        ports = {role: place.port(host) for role in ROLES}
        made.append(
            Service(name=name, kind="kafka", index=index, host=host, ports=ports, command=command, gid=place.gid())
        )
    return tuple(made)


def write_conf(topology: Topology, service: Service) -> None:
    """Write the configuration and the run's identity of a node that begins empty. Raises OSError."""
    shutil.rmtree(topology.path / "data" / service.name, ignore_errors=True)
    conf = conf_dir(topology.path, service.name)
    conf.mkdir(parents=True, exist_ok=True)
    (conf / "log4j2.properties").write_text(_LOG4J)
    (conf / "server.properties").write_text(_properties(_settings(topology, service)))
    for directory in (log_dir(topology.path, service.name), metadata_dir(topology.path, service.name)):
        directory.mkdir(parents=True, exist_ok=True)
        ids = {
            "version": 1,
            "cluster.id": _uuid(topology.run_id),
            "node.id": service.index + 1,
            "directory.id": _uuid(f"{topology.run_id}/{directory}"),
        }
        (directory / "meta.properties").write_text(_properties(ids))


def problem(topology: Topology, service: Service, timeout_s: float) -> str | None:
    """Return None if it answers, sees all brokers alive and all replicas in sync. Takes at most about `timeout_s`."""
    try:
        address, login = (service.host, service.ports["client"]), topology.login("kafka")
        view = kafka_probe.view(address, timeout_s, topology.topic, login)
    except Unavailable:
        return "does not answer"
    nodes = len(topology.of_kind("kafka"))
    if len(view.node_ids) < nodes:
        return f"sees {len(view.node_ids)} of {nodes} brokers"
    short = [partition for partition, replicas in view.replicas.items() if view.isr[partition] != replicas]
    return f"{len(short)} of {len(view.replicas)} partitions are not in sync" if short else None


def log_dir(directory: Path, name: str) -> Path:
    """Return the directory of the records, which the disk-full fault fills."""
    return directory / "data" / name / "log"


def metadata_dir(directory: Path, name: str) -> Path:
    """Return the directory of the quorum's log."""
    return directory / "data" / name / "metadata"


def conf_dir(directory: Path, name: str) -> Path:
    """Return the directory of the configuration."""
    return directory / "data" / name / "conf"


def _settings(topology: Topology, service: Service) -> dict[str, object]:
    def at(role: str, node: Service = service) -> str:
        return f"{node.host}:{node.ports[role]}"

    voters = ",".join(f"{node.index + 1}@{at('controller', node)}" for node in topology.of_kind("kafka"))
    return _SETTINGS | {
        "node.id": service.index + 1,
        "controller.quorum.voters": voters,
        "listeners": ",".join(f"{role.upper()}://{at(role)}" for role in ROLES),
        "advertised.listeners": ",".join(f"{role.upper()}://{at(role)}" for role in ROLES if role != "controller"),
        "log.dirs": log_dir(topology.path, service.name),
        "metadata.log.dir": metadata_dir(topology.path, service.name),
    }


def _properties(values: Mapping[str, object]) -> str:
    return "".join(f"{key}={value}\n" for key, value in values.items())


def _uuid(seed: str) -> str:
    """Return 16 bytes as Kafka writes them. The few ids that it reserves begin with zeros, unlike these."""
    return base64.urlsafe_b64encode(b"\x01" + hashlib.sha256(seed.encode()).digest()[:15]).decode().rstrip("=")


_LOG4J: Final = """\
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %c{1} %m%n
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = out
# Their whole configuration, line by line, at each start.
logger.config.name = org.apache.kafka.common.config
logger.config.level = WARN
# One line for each failed attempt to reach a node that is away.
logger.network.name = org.apache.kafka.clients.NetworkClient
logger.network.level = ERROR
"""
