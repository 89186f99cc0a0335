"""Three real Cassandra nodes, started and ended here, and what a test does to one of them.

The jars come from Maven once a user, into the cache that the other servers are built into.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from sut.adapters import cql_probe
from sut.deploy.binaries import cache_dir

VERSION = "5.0.4"
JARS = "org.apache.cassandra:cassandra-all"
START_S = 100.0
MAVEN_S = 300.0
HEAP = "512m"
NEEDED_MODULES = (
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
)  # fmt: skip
LOGBACK = """<configuration><appender name="OUT" class="ch.qos.logback.core.ConsoleAppender"><encoder>
<pattern>%d %-5level %msg%n</pattern></encoder></appender>
<root level="INFO"><appender-ref ref="OUT"/></root></configuration>
"""


def missing() -> str | None:
    """Why Cassandra cannot run here, None when it can."""
    if shutil.which("java") is None:
        return "no java on PATH: Cassandra needs Java 17"
    if not _jars().is_dir() and shutil.which("mvn") is None:
        return "no mvn on PATH: Cassandra's jars come from Maven"
    return None


def _jars() -> Path:
    return cache_dir() / f"cassandra-{VERSION}"


def fetch() -> Path:
    """The directory of Cassandra's jars, filled once."""
    target = _jars()
    if target.is_dir():
        return target
    scratch = target.with_name(f"{target.name}.{os.getpid()}")
    scratch.mkdir(parents=True)
    group, artifact = JARS.split(":")
    (scratch / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>petrel</groupId>'
        "<artifactId>servers</artifactId><version>1</version><packaging>pom</packaging><dependencies><dependency>"
        f"<groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{VERSION}</version>"
        "</dependency></dependencies></project>"
    )
    subprocess.run(
        ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={scratch / 'jars'}"],
        cwd=scratch,
        check=True,
        timeout=MAVEN_S,
    )
    with contextlib.suppress(OSError):  # another session was first
        (scratch / "jars").rename(target)
    shutil.rmtree(scratch, ignore_errors=True)
    return target


class Node:
    """One node: its address, its process."""

    def __init__(self, directory: Path, host: str, seeds: list[str], *, cql: int, storage: int) -> None:
        self.directory = directory
        self.host = host
        self.address = (host, cql)
        self.process: subprocess.Popen[bytes] | None = None
        (directory / "conf").mkdir(parents=True)
        (directory / "conf" / "logback.xml").write_text(LOGBACK)
        data = {name: str(directory / name) for name in ("hints_directory", "commitlog_directory")}
        config = data | {
            "cluster_name": "tests", "num_tokens": 1, "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
            "data_file_directories": [str(directory / "data")], "saved_caches_directory": str(directory / "saved"),
            "cdc_raw_directory": str(directory / "cdc"), "commitlog_sync": "periodic", "commitlog_sync_period": "1s",
            "endpoint_snitch": "SimpleSnitch", "listen_address": host, "rpc_address": host, "storage_port": storage,
            "native_transport_port": cql, "auto_bootstrap": False, "hinted_handoff_enabled": True,
            "concurrent_reads": 8, "concurrent_writes": 8, "memtable_heap_space": "48MiB",
            "memtable_offheap_space": "32MiB", "file_cache_size": "32MiB", "key_cache_size": "4MiB",
            "commitlog_segment_size": "8MiB", "commitlog_total_space": "128MiB",
            "write_request_timeout": "1s", "read_request_timeout": "1s",
            "seed_provider": [{"class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                               "parameters": [{"seeds": ",".join(f"{seed}:{storage}" for seed in seeds)}]}],
        }  # fmt: skip
        (directory / "conf" / "cassandra.yaml").write_text(json.dumps(config))  # JSON is YAML

    def start(self, jars: Path) -> None:
        """Start it, or start it again, with the data that it has."""
        conf = self.directory / "conf"
        with (self.directory / "log").open("ab") as output:
            self.process = subprocess.Popen(
                [
                    "java", f"-Xmx{HEAP}", f"-Xms{HEAP}", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=4",
                    *NEEDED_MODULES, "-Djdk.attach.allowAttachSelf=true", f"-Dcassandra.config=file://{conf}/cassandra.yaml",
                    f"-Dlogback.configurationFile={conf}/logback.xml", "-Dcassandra.ring_delay_ms=2000",
                    "-Dcassandra.skip_wait_for_gossip_to_settle=0", f"-Dcassandra.storagedir={self.directory}",
                    "-Dcassandra.superuser_setup_delay_ms=0", "-Dcassandra-foreground=yes", "-cp", f"{conf}:{jars}/*",
                    "org.apache.cassandra.service.CassandraDaemon",
                ],
                stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def send(self, number: signal.Signals) -> None:
        """A signal to its process."""
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def end(self) -> None:
        """End it whatever its state."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def answers(self) -> bool:
        """Whether it answers CQL."""
        return cql_probe.view(self.address, 1.0) is not None


class CassandraSystem:
    """Three nodes on loopback addresses of their own."""

    def __init__(self, directory: Path) -> None:
        self._jars = fetch()
        rng = random.Random()
        base = f"127.{rng.randint(2, 250)}.{rng.randint(1, 250)}"
        hosts = [f"{base}.{n}" for n in (1, 2, 3)]
        cql, storage = (_free_port(hosts[0]) for _ in range(2))
        self.nodes = [Node(directory / f"node-{host}", host, hosts[:1], cql=cql, storage=storage) for host in hosts]

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Of all nodes, for CQL."""
        return [node.address for node in self.nodes]

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.start(self._jars)
            self.wait_until_whole(timeout_s=START_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.end()

    def heal(self) -> None:
        """All nodes as they were at the start."""
        for node in self.nodes:
            assert node.process is not None
            if node.process.poll() is not None:
                node.start(self._jars)
            else:
                node.send(signal.SIGCONT)
        self.wait_until_whole(timeout_s=START_S)

    def whole(self) -> bool:
        """Whether each node answers and sees all others up."""
        views = [cql_probe.view(node.address, 1.0) for node in self.nodes]
        return all(view is not None and view.up >= {node.host for node in self.nodes} for view in views)

    def wait_until_whole(self, *, timeout_s: float) -> None:
        """Return when it is."""
        wait_until(self.whole, timeout_s=timeout_s)


def wait_until(condition: Callable[[], bool], *, timeout_s: float) -> None:
    """Return when it holds; fail when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.1)


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
