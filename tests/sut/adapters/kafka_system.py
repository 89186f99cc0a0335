"""Three real Kafka nodes under a supervisor, and what a test does to one of them or to the way to it."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from sut.adapters.kafka import probe as kafka_probe
from sut.adapters.kafka.log import KafkaLog
from sut.deploy.servers import jars
from sut.deploy.servers import kafka as kafka_server
from sut.ports import Unavailable
from tests.kit.pace import scaled
from tests.sut.adapters.cluster import Address, Cluster, Way

PARTITIONS = 4
READY_S = 30.0
"""New nodes on a machine that has other work take long for their first topic."""


def missing() -> str | None:
    """Why Kafka cannot run here, None when it can. Fetches it the first time."""
    return jars.find("kafka", on_progress=print).reason or None


class KafkaSystem(Cluster):
    """Nodes 1, 2 and 3, each on a loopback address of its own."""

    START_S, HEAL_S, PROBE_S = 100.0, 40.0, 1.0

    def __init__(self, directory: Path) -> None:
        super().__init__("kafka", directory, kafka_server.services, jars.find("kafka", on_progress=print).path, first=1)
        self.addresses: dict[int, Address] = {
            service.index + 1: (service.host, service.ports["client"]) for service in self._topology.services
        }
        self._topics = itertools.count(1)

    def new_topic(self) -> str:
        """A name that no topic here has."""
        return f"topic-{next(self._topics)}"

    @contextlib.asynccontextmanager
    async def log(
        self,
        topic: str,
        *,
        dialed: Mapping[Address, Address] | None = None,
        deadline_s: float | None = None,
        ready: bool = True,
    ) -> AsyncIterator[KafkaLog]:
        """A log on these nodes, for as long as the block runs; with its topics there, unless that is the question."""
        deadline_s = scaled(2.0) if deadline_s is None else deadline_s
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
                views.append(kafka_probe.view(address, scaled(scaled(self.PROBE_S)), topic))
        assert views, "no broker answers"
        return max(views, key=lambda view: len(view.node_ids))

    def controller(self) -> int | None:
        """The node that controls the cluster, None while there is none that answers."""
        for address in self.addresses.values():
            with contextlib.suppress(Unavailable):
                return kafka_probe.controller(address, scaled(scaled(self.PROBE_S)))
        return None

    def whole(self, topic: str) -> bool:
        """Whether all replicas of the topic's partitions are in sync."""
        view = self.view(topic)
        return len(view.node_ids) == len(self.names) and view.isr == view.replicas


@contextlib.asynccontextmanager
async def beside(system: KafkaSystem) -> AsyncIterator[tuple[str, KafkaLog, KafkaLog, list[Way]]]:
    """A new topic, a log on it that dials the nodes, and one that comes to them by these ways."""
    topic = system.new_topic()
    async with ways(system) as links:
        dialed = {system.addresses[node]: link.address for node, link in links.items()}
        async with system.log(topic) as direct, system.log(topic, dialed=dialed) as log:
            yield topic, direct, log, list(links.values())


@contextlib.asynccontextmanager
async def ways(system: KafkaSystem) -> AsyncIterator[dict[int, Way]]:
    """One to each node."""
    async with contextlib.AsyncExitStack() as stack:
        yield {node: await stack.enter_async_context(Way(address)) for node, address in system.addresses.items()}
