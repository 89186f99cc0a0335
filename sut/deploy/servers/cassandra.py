"""Three Cassandra nodes on one machine: their processes, their configuration, and the check of one node's health.

Each node is a JVM in the foreground on its own loopback address. All have the same two port numbers: CQL and storage
(the nodes among themselves). They start together, each with a fixed token: no node waits for a ring to settle that no
other node joins. A write is on the node's disk before it is confirmed, so the node may be killed at any time. The next
start finds its data and the hints it holds for others.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final

import yaml

from sut.adapters.cassandra import probe as cql_probe
from sut.deploy.place import Place
from sut.deploy.servers.java import find_java
from sut.deploy.topology import Service, ServiceKind, Topology
from sut.ports import Unavailable

NODES: Final = 3
FIRST_HOST: Final = 11
"""Last octet of the first node's address; the brokers have smaller ones."""
MAIN: Final = "org.apache.cassandra.service.CassandraDaemon"
NICE: Final = ("nice", "-n", "10")
"""Lower priority: the store is written behind and nobody waits for it, unlike for the other processes."""
LOCAL_DC: Final = "datacenter1"
"""The only data centre; its only rack is rack1."""

_JVM: Final = (
    "-Xms512m", "-Xmx512m",         # 48 MB of memtables, a run's reads, and room: less collects all the time
    "-Xss512k",
    "-XX:TieredStopAtLevel=1",      # compiled once, lightly: 6 s of CPU until it is ready instead of 10, and half the
                                    # CPU for the same load in its first minute
    "-XX:+UseSerialGC",             # on two cores that others need too, with a heap this small: shortest in all
    "-XX:+PerfDisableSharedMem",    # no statistics file in the temporary directory
    "-XX:+ExitOnOutOfMemoryError",  # a supervisor starts it again
    # What Cassandra's own conf/jvm17-server.options opens.
    "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED", "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED", "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=java.management.rmi/com.sun.jmx.remote.internal.rmi=ALL-UNNAMED",
    "--add-exports=java.rmi/sun.rmi.server=ALL-UNNAMED", "--add-exports=java.rmi/sun.rmi.transport.tcp=ALL-UNNAMED",
    "--add-exports=java.sql/java.sql=ALL-UNNAMED", "--add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED",
    "--add-exports=jdk.compiler/com.sun.tools.javac.file=ALL-UNNAMED",
    "--add-opens=java.base/java.lang.module=ALL-UNNAMED", "--add-opens=java.base/jdk.internal.loader=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED", "--add-opens=java.base/jdk.internal.reflect=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.math=ALL-UNNAMED", "--add-opens=java.base/jdk.internal.module=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.util.jar=ALL-UNNAMED",
    "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED", "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.lang.reflect=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED",
    "-Djdk.attach.allowAttachSelf=true",
    "-Djava.security.manager=allow",  # it sets one, which Java 18 to 23 refuse without this
    "-Dcassandra-foreground=yes",
    "-Dcassandra.ring_delay_ms=2000",                # how long a starting node listens to gossip: 30 s by default
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",  # and then watches whether it still changes: 8 s
    "-Dcassandra.superuser_setup_delay_ms=0",
)  # fmt: skip

_SETTINGS: Final[dict[str, object]] = {
    "cluster_name": "petrel",
    "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
    "endpoint_snitch": "GossipingPropertyFileSnitch",  # a node that is asked reads its own copy first
    "num_tokens": 1,
    "auto_bootstrap": False,
    "hinted_handoff_enabled": True,
    "hints_flush_period": "1s",  # a killed coordinator loses the hints of this time; 10 s by default
    # A write is on the disk before it is confirmed. By default ("periodic") a killed node loses the last 0.1 s.
    "commitlog_sync": "group",
    "commitlog_sync_group_window": "20ms",
    "commitlog_segment_size": "8MiB",
    "commitlog_total_space": "128MiB",
    "disk_failure_policy": "die",
    "commit_failure_policy": "die",
    "concurrent_reads": 8,
    "concurrent_writes": 32,  # each waits for the disk with others, so many have to wait at once
    "concurrent_counter_writes": 2,
    "concurrent_compactors": 1,
    "native_transport_max_threads": 16,
    "memtable_heap_space": "48MiB",
    "memtable_offheap_space": "32MiB",
    "file_cache_size": "32MiB",
    "key_cache_size": "4MiB",
    "auto_snapshot": False,
    # Half of what the store's clients wait (2 s), so that the client hears why, and may ask another node.
    "read_request_timeout": "1s",
    "write_request_timeout": "1s",
    "cas_contention_timeout": "1s",
    "range_request_timeout": "2s",
}


def services(_kind: ServiceKind, _count: int, place: Place) -> tuple[Service, ...]:
    """Return the three nodes with their complete commands. Raises OSError when there are no free ports."""
    java = find_java().path or "java"
    hosts = [f"{place.subnet}.{FIRST_HOST + index}" for index in range(NODES)]
    ports = {role: place.port(*hosts) for role in ("cql", "storage")}
    return tuple(
        Service(
            name=f"cassandra-{index + 1}",
            kind="cassandra",
            index=index,
            host=host,
            ports=ports,
            command=(*NICE, str(java), *_jvm(place, f"cassandra-{index + 1}"), MAIN),
            restart_delay_s=0.3,
            gid=place.gid(),
        )
        for index, host in enumerate(hosts)
    )


def write_conf(topology: Topology, service: Service) -> None:
    """Empty DIR/data/NAME, the node's directory, and write its conf/. Raises OSError."""
    directory = data_dir(topology.path, service.name)
    shutil.rmtree(directory, ignore_errors=True)
    for part in ("conf", "unpacked"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    settings = _SETTINGS | {
        "initial_token": str(-(2**63) + service.index * (2**64 // NODES)),
        "listen_address": service.host,
        "rpc_address": service.host,
        "storage_port": service.ports["storage"],
        "native_transport_port": service.ports["cql"],
        "data_file_directories": [str(directory / "data")],
        "commitlog_directory": str(directory / "commitlog"),
        "hints_directory": str(directory / "hints"),
        "saved_caches_directory": str(directory / "saved_caches"),
        "cdc_raw_directory": str(directory / "cdc_raw"),
        "seed_provider": [
            {
                "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                "parameters": [{"seeds": _seeds(topology)}],
            }
        ],
    }
    (directory / "conf" / "cassandra.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    (directory / "conf" / "cassandra-rackdc.properties").write_text(f"dc={LOCAL_DC}\nrack=rack1\n")
    (directory / "conf" / "logback.xml").write_text(_LOGBACK)


def problem(topology: Topology, service: Service, timeout_s: float) -> str | None:
    """Return None if it answers and reads from all three nodes, else the problem. Takes at most about `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    address, login = (service.host, service.ports["cql"]), topology.login("cassandra")
    try:
        cql_probe.view(address, timeout_s, login)
    except Unavailable:
        return "does not answer"
    nodes = len(topology.of_kind("cassandra"))
    try:
        found = cql_probe.replicas(address, max(0.01, deadline - time.monotonic()), login)
    except Unavailable:
        return "answers, but the other nodes do not answer it"
    return None if found.alive >= min(NODES, nodes) else f"is answered by {found.alive} of {nodes} nodes"


def data_dir(directory: Path, name: str) -> Path:
    """Return the directory of all files of a node."""
    return directory / "data" / name


def _jvm(place: Place, name: str) -> tuple[str, ...]:
    directory = data_dir(place.directory, name)
    conf = directory / "conf"
    jars = place.cassandra_jars
    assert jars is not None, "a profile with Cassandra nodes needs their jars"
    return (
        *_JVM,
        f"-Dcassandra.config={(conf / 'cassandra.yaml').as_uri()}",
        f"-Dcassandra.storagedir={directory}",
        f"-Dlogback.configurationFile={conf}/logback.xml",
        f"-Djava.io.tmpdir={directory / 'unpacked'}",  # native libraries, which stay there when it is killed
        "-cp",
        f"{conf}:{jars}/*",
    )


def _seeds(topology: Topology) -> str:
    """Return the addresses of all nodes, so that a node that restarts finds another alive."""
    return ",".join(f"{node.host}:{node.ports['storage']}" for node in topology.of_kind("cassandra"))


_LOGBACK: Final = """\
<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{ISO8601} %-5level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
"""
