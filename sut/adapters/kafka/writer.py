"""Appends to one partition of a topic: one batch in progress at a time, confirmed by a majority, repeated safely.

Each batch carries a producer id and the number of its first record under it (Kafka's idempotence). So a batch whose
answer was lost is sent again within the time limit without landing twice. When the time is up the outcome is unknown,
and the id is abandoned: a fresh one begins at 0, independent of the old one. Nothing else has to be recovered, so
repeated failures of a partition are never permanent, and never affect another partition.

A batch that was given up may still land, for as long as it sits in a connection that nobody has closed. log.py says why
that does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from sut.adapters.kafka.cluster import META, RETRY_S, KafkaCluster, Unreachable, error_name
from sut.adapters.kafka.map import Place
from sut.adapters.kafka.produce import Batch, Produce
from sut.ports import Unavailable

BATCH_BYTES: Final = 900_000
"""Size of one batch, unless it is one record. A broker takes 1 MiB (message.max.bytes)."""
RECORD_OVERHEAD: Final = 32
"""Most bytes that a record adds to a batch besides its key and value."""
_MAX_SEQUENCE: Final = 1 << 30
_NO_TRANSACTION: Final = 1000


class Item(NamedTuple):
    """A record to be written."""

    key: bytes
    value: bytes


class _Producer(NamedTuple):
    id: int
    epoch: int
    sequence: int
    """The sequence number of the next record."""


class PartitionWriter:
    """Writes to one partition. Its caller has one write in progress at a time."""

    def __init__(self, cluster: KafkaCluster, produce: Produce, place: Place, *, within_s: float) -> None:
        """`within_s`: no batch takes much longer than this many seconds."""
        self._cluster = cluster
        self._produce = produce
        self._place = place
        self._within_s = within_s
        self._producer: _Producer | None = None

    async def write(self, items: Sequence[Item]) -> list[int]:
        """Append in order; return the offsets when all are confirmed.

        Raises Unavailable: none, all or the first of the items may be in the log, now or later.
        """
        offsets: list[int] = []
        for batch in in_batches(items):
            first = await self._append(batch)
            offsets += range(first, first + len(batch))
        return offsets

    async def _append(self, batch: Sequence[Item]) -> int:
        producer = self._producer or await self._fresh()
        self._producer = None  # until the outcome is known
        send = partial(self._produce.send, Batch(self._place, _encoded(batch, producer)))
        part = await self._cluster.at_leader(self._place, send, within_s=self._within_s)
        sequence = producer.sequence + len(batch)
        if sequence < _MAX_SEQUENCE:
            self._producer = producer._replace(sequence=sequence)
        return int(part[2])

    async def _fresh(self) -> _Producer:
        """Return a producer id that nobody else has; any broker can give one, once it has some. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._within_s
        trouble = "no broker known"
        while True:
            for address in self._cluster.brokers():
                try:
                    answer = await self._cluster.ask(address, InitProducerIdRequest(None, _NO_TRANSACTION), lane=META)
                except Unreachable as error:
                    trouble = str(error)
                    continue
                if answer.error_code == 0:
                    return _Producer(answer.producer_id, answer.producer_epoch, 0)
                trouble = error_name(answer.error_code)
            if loop.time() >= until:
                raise Unavailable(f"kafka {self._place}: nothing written, no producer id ({trouble})")
            await asyncio.sleep(RETRY_S)


def in_batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yield the items in order, in parts that fit in a batch."""
    start = size = 0
    for index, item in enumerate(items):
        length = len(item.key) + len(item.value) + RECORD_OVERHEAD
        if size and size + length > BATCH_BYTES:
            yield items[start:index]
            start, size = index, 0
        size += length
    if size:
        yield items[start:]


def _encoded(batch: Sequence[Item], producer: _Producer) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=producer.id, producer_epoch=producer.epoch,
        base_sequence=producer.sequence, batch_size=1 << 30,
    )  # fmt: skip
    for index, item in enumerate(batch):
        builder.append(index, None, item.key, item.value, [])
    return bytes(builder.build())
