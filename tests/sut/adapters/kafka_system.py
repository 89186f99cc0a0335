"""Three real Kafka nodes under a supervisor, and what a test does to one of them or to the way to it."""

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Self

from sut.adapters.kafka import probe as kafka_probe
from sut.adapters.kafka.log import KafkaLog
from sut.deploy.place import Place
from sut.deploy.servers import jars
from sut.deploy.servers import kafka as kafka_server
from sut.deploy.supervise.reservation import Reservation
from sut.deploy.system import boot
from sut.deploy.topology import Settings, Topology
from sut.ports import Unavailable
from tests.kit.pace import scaled
from tests.kit.waits import wait_until

Address = tuple[str, int]
PARTITIONS = 4
START_S = 100.0
HEAL_S = 40.0
PROBE_S = 1.0
READY_S = 30.0
"""New nodes on a machine that has other work take long for their first topic."""


def missing() -> str | None:
    """Why Kafka cannot run here, None when it can. Fetches it the first time."""
    return jars.find("kafka", on_progress=print).reason or None


class KafkaSystem:
    """Nodes 1, 2 and 3, each on a loopback address of its own."""

    def __init__(self, directory: Path) -> None:
        self._stack = contextlib.ExitStack()
        self._reservation = self._stack.enter_context(Reservation())
        place = Place(
            directory=directory,
            redis_server=Path("none"),
            toxiproxy=None,
            port=self._reservation.port,
            settings=Settings(),
            variant=None,
            kafka_jars=jars.find("kafka", on_progress=print).path,
            subnet=f"127.{os.getpid() % 250 + 1}.{time.time_ns() % 250 + 1}",
        )
        self._topology = Topology(
            run_id=os.urandom(8).hex(), profile="kafka", dir=str(directory), token_key="", api_key="",
            services=kafka_server.services("kafka", 3, place),
        )  # fmt: skip
        self.nodes = {service.index + 1: service.name for service in self._topology.services}
        self.addresses: dict[int, Address] = {
            service.index + 1: (service.host, service.ports["client"]) for service in self._topology.services
        }
        self._topics = itertools.count(1)

    def __enter__(self) -> Self:
        with self._stack:
            self.system = boot(self._topology, self._reservation, on_progress=print, timeout_s=scaled(START_S))
            self._stack.callback(self.system.stop)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def new_topic(self) -> str:
        """A name that no topic here has."""
        return f"topic-{next(self._topics)}"

    @contextlib.asynccontextmanager
    async def log(
        self,
        topic: str,
        *,
        dialed: Mapping[Address, Address] | None = None,
        deadline_s: float = 2.0,
        ready: bool = True,
    ) -> AsyncIterator[KafkaLog]:
        """A log on these nodes, for as long as the block runs; with its topics there, unless that is the question."""
        direct = {address: address for address in self.addresses.values()}
        log = KafkaLog(direct | dict(dialed or {}), topic=topic, partitions=PARTITIONS, deadline_s=deadline_s)
        try:
            async with asyncio.timeout(scaled(READY_S)):
                while ready:
                    with contextlib.suppress(Unavailable):
                        await log.end(0)
                        break
            yield log
        finally:
            await log.close()

    def view(self, topic: str) -> kafka_probe.KafkaView:
        """What a node that answers says, the one that sees most brokers."""
        views = []
        for address in self.addresses.values():
            with contextlib.suppress(Unavailable):
                views.append(kafka_probe.view(address, scaled(scaled(PROBE_S)), topic))
        assert views, "no broker answers"
        return max(views, key=lambda view: len(view.node_ids))

    def controller(self) -> int | None:
        """The node that controls the cluster, None while there is none that answers."""
        for address in self.addresses.values():
            with contextlib.suppress(Unavailable):
                return kafka_probe.controller(address, scaled(scaled(PROBE_S)))
        return None

    def pause(self, *nodes: int) -> None:
        """SIGSTOP."""
        for node in nodes:
            os.kill(self._pid(node), signal.SIGSTOP)

    def kill(self, *nodes: int) -> None:
        """SIGKILL; they stay away until `heal`."""
        for node in nodes:
            self.system.hold(self.nodes[node])
        for node in nodes:
            os.kill(self._pid(node), signal.SIGKILL)

    def heal(self) -> None:
        """All nodes as at the start, and every partition whole."""
        for node, name in self.nodes.items():
            self.system.release(name)
            if self.system.pid(name) is not None:
                os.kill(self._pid(node), signal.SIGCONT)
        wait_until(lambda: not self.system.problems(scaled(PROBE_S)), timeout_s=HEAL_S)

    def whole(self, topic: str) -> bool:
        """Whether all replicas of the topic's partitions are in sync."""
        view = self.view(topic)
        return len(view.node_ids) == len(self.nodes) and view.isr == view.replicas

    def _pid(self, node: int) -> int:
        pid = self.system.pid(self.nodes[node])
        assert pid is not None, f"{self.nodes[node]} is not running"
        return pid


class Way:
    """A way to a broker, each direction of which can be made to hold everything back, as a broken network does."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._there, self._back = asyncio.Event(), asyncio.Event()
        self._held: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.address: Address = ("", 0)
        self.restore()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self, *, requests: bool = True, answers: bool = True) -> None:
        """From now on these do not arrive, on open and new connections alike."""
        for held, gate in ((requests, self._there), (answers, self._back)):
            if held:
                gate.clear()

    def pass_new(self) -> None:
        """Connections from now on are as they should be; what the others hold back stays there."""
        self._held += (self._there, self._back)
        self._there, self._back = asyncio.Event(), asyncio.Event()
        self._there.set()
        self._back.set()

    def restore(self) -> None:
        """What was held back arrives now, where somebody still listens."""
        for gate in (*self._held, self._there, self._back):
            gate.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            for pump in (self._pump(reader, far_writer, self._there), self._pump(far_reader, writer, self._back)):
                task = asyncio.create_task(pump)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(1 << 20):
                    await gate.wait()
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def ways(system: KafkaSystem) -> AsyncIterator[dict[int, Way]]:
    """One to each node."""
    async with contextlib.AsyncExitStack() as stack:
        yield {node: await stack.enter_async_context(Way(address)) for node, address in system.addresses.items()}
