"""Produce requests: one per broker at a time, each with everything that waits for that broker.

A broker answers the requests of one connection in turn, and a produce waits there for the other replicas. Batches that
come meanwhile would wait anyhow. Here they go together afterwards, whatever their partition, and cost the broker and
its followers one round instead of one each.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from aiokafka.protocol.produce import ProduceRequest

from sut.adapters.kafka.cluster import KafkaCluster, Part, Unreachable
from sut.adapters.kafka.map import Address, Place
from sut.adapters.shared.group_commit import GroupCommit
from sut.adapters.shared.patience import patience

CONFIRM_S: Final = 0.8
"""Seconds that the leader waits for the others before it answers that they did not confirm. Below REQUEST_S."""
TURN_S: Final = 1.0
"""Allowance for the request in progress before it, beyond the time for the request's own answer."""
MAX_TOGETHER: Final = 64
"""Batches in one request; each has a different partition."""
MAX_WAITING: Final = 1_000
LANE: Final = "produce"
_ALL_IN_SYNC: Final = -1


class Batch(NamedTuple):
    """Encoded records for one partition."""

    place: Place
    data: bytes


class Produce:
    """All produce requests of a process. Belongs to one event loop."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self._lanes: dict[Address, GroupCommit[Batch, Part]] = {}

    async def send(self, batch: Batch, address: Address, timeout_s: float) -> Part:
        """Return the broker's answer about the batch. A partition has one batch in progress. Raises Unreachable."""
        lane = self._lanes.get(address)
        if lane is None:
            write = partial(self._write, address)
            lane = GroupCommit(f"kafka {address}", write, max_batch=MAX_TOGETHER, max_waiting=MAX_WAITING)
            self._lanes[address] = lane
        try:
            async with patience(timeout_s + TURN_S):
                [part] = await lane.submit([batch])
        except TimeoutError:
            raise Unreachable(f"{address[0]}:{address[1]} has others to answer") from None
        return part

    async def _write(self, address: Address, batches: list[Batch]) -> list[Part]:
        by_topic: dict[str, list[tuple[int, bytes]]] = {}
        for place, data in batches:
            by_topic.setdefault(place.topic, []).append((place.partition, data))
        request = ProduceRequest(
            transactional_id=None,
            required_acks=_ALL_IN_SYNC,
            timeout=round(CONFIRM_S * 1000),
            topics=list(by_topic.items()),
        )
        answer = await self._cluster.ask(address, request, lane=LANE)
        parts = {Place(topic, part[0]): part for topic, found in answer.topics for part in found}
        try:
            return [parts[batch.place] for batch in batches]
        except KeyError as missing:
            raise Unreachable(f"{address[0]}:{address[1]} says nothing of {missing}") from None
