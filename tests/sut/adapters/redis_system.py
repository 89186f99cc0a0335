"""A real Redis master, replica and three Sentinels, started and ended here."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from sut.adapters.redis import admin as redis_admin
from sut.adapters.redis.master import RedisMaster
from sut.deploy.servers.binaries import find_redis_server
from sut.deploy.servers.redis import COMPACT
from sut.deploy.supervise.reservation import Reservation
from sut.ports import Unavailable
from tests.kit.pace import scaled
from tests.kit.waits import wait_until
from tests.sut.adapters.cluster import Address

HOST = "127.0.0.1"


class RedisSystem:
    """Two data nodes and three Sentinels that fail over within about two seconds."""

    name = "petrel"

    def __init__(self, directory: Path, *, down_after_ms: int = 800) -> None:
        self._down_after_ms = down_after_ms
        self._directory = directory
        self._server = find_redis_server()
        self._ports = Reservation()
        self.nodes = [(HOST, self._ports.port()) for _ in range(2)]
        self.sentinels = [(HOST, self._ports.port()) for _ in range(3)]
        self.processes: dict[Address, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self._ports.inherit()
        try:
            self.start(self.nodes[0])
            self.start(self.nodes[1], follow=self.nodes[0])
            for sentinel in self.sentinels:
                self._start_sentinel(sentinel)
            wait_until(self._ready)
            self.nodes.sort(key=lambda node: node != self.master())  # Sentinel may have failed over on a busy machine
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
        for process in self.processes.values():
            process.wait()
        self._ports.close()

    def start(self, node: Address, *, follow: Address | None = None) -> None:
        """Start a data node, empty."""
        followed = ("--replicaof", follow[0], str(follow[1])) if follow else ()
        compact = [part for name, value in COMPACT.items() for part in (f"--{name}", value)]
        diskless = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0")
        self._run(node, *_COMMON, "--save", "", *diskless, *compact, *followed)

    def signal(self, node: Address, number: int) -> None:
        """Send a signal to a node; when it ends, wait for that."""
        self.processes[node].send_signal(number)
        if number == signal.SIGKILL:
            self.processes[node].wait()

    def client(self, *, address_map: dict[Address, Address] | None = None, deadline_s: float) -> RedisMaster:
        """A new client of the present master, for an adapter, which closes it."""
        return RedisMaster(
            sentinels=self.sentinels, master_name=self.name, address_map=address_map or {}, deadline_s=deadline_s
        )

    def master(self) -> Address | None:
        """Whom a majority of the Sentinels calls master, if it says so itself."""
        votes = [self.named(sentinel) for sentinel in self.sentinels]
        for node in self.nodes:
            if votes.count(node) >= 2 and self.role(node) == "master":
                return node
        return None

    def named(self, sentinel: Address) -> Address | None:
        """Whom a Sentinel calls master; None when it does not answer or knows none."""
        try:
            return redis_admin.sentinel_view(sentinel, self.name, 0.3).master
        except Unavailable:
            return None

    def role(self, node: Address) -> str | None:
        """What the node says it is; None when it does not answer."""
        try:
            return redis_admin.role(node, 0.3).role
        except Unavailable:
            return None

    def ask(self, node: Address, *command: str | bytes) -> object:
        """A command to a node or Sentinel."""
        client = Redis(host=node[0], port=node[1], socket_timeout=scaled(1.0))
        try:
            return client.execute_command(*command)
        finally:
            client.close()

    def forget_all(self) -> None:
        """Empty the master."""
        master = self.master()
        assert master is not None
        self.ask(master, "FLUSHALL")

    def _start_sentinel(self, address: Address) -> None:
        conf = self._directory / f"sentinel-{address[1]}.conf"
        host, port = self.nodes[0]
        lines = [
            f"sentinel myid {address[1]:040x}",
            f"sentinel monitor {self.name} {host} {port} 2",
            f"sentinel down-after-milliseconds {self.name} {self._down_after_ms}",
            f"sentinel failover-timeout {self.name} 3000",
            f"sentinel known-replica {self.name} {host} {self.nodes[1][1]}",
        ]
        lines += [
            f"sentinel known-sentinel {self.name} {other[0]} {other[1]} {other[1]:040x}"
            for other in self.sentinels
            if other != address
        ]
        conf.write_text("\n".join(lines) + "\n")
        self._run(address, str(conf), "--sentinel", *_COMMON)

    def _run(self, address: Address, *arguments: str) -> None:
        self.processes[address] = subprocess.Popen(
            [str(self._server), *arguments, "--port", str(address[1]), "--dir", str(self._directory)],
            env={**os.environ, "PETREL_RUN_ID": "adapter-tests"},
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )

    def _ready(self) -> bool:
        try:
            views = [redis_admin.sentinel_view(sentinel, self.name, 0.3) for sentinel in self.sentinels]
            known = all(view.replicas == 1 and view.sentinels == 2 for view in views)
            master = self.master()
            return known and master is not None and all(redis_admin.role(n, 0.3)[2] for n in self.nodes if n != master)
        except (Unavailable, RedisError):
            return False


_COMMON = ("--bind", HOST, "--daemonize", "no", "--set-proc-title", "no", "--appendonly", "no")
