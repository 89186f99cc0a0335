"""Reading a partition of a topic: one page at a time, from any offset, and where the partition begins and ends.

There is no group and no subscription. The topology fixes who reads which partition, a hand-over begins at the last
commit, and two readers of a partition do no harm. So no session time-out and no rebalance ever stops a reader.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.memory_records import MemoryRecords

from sut.adapters.kafka.cluster import META, KafkaCluster, Refused
from sut.adapters.kafka.map import Place
from sut.ports import Unavailable

PAGE_BYTES: Final = 1 << 20
"""Bytes of one answer, unless its first batch is larger. A reader holds no more."""
_LATEST: Final = -1
_EARLIEST: Final = -2
_OUT_OF_RANGE: Final = 1


class Raw(NamedTuple):
    """A record as Kafka has it."""

    offset: int
    key: bytes
    value: bytes


class Page(NamedTuple):
    """Some records in order, and the offset to go on from."""

    records: list[Raw]
    next: int


class Missing(Unavailable):
    """The partition does not have the offset: records are gone, or it is an offset of another log."""


async def fetch(cluster: KafkaCluster, place: Place, offset: int, *, wait_s: float, within_s: float) -> Page:
    """Return the confirmed records from `offset` on; waits up to `wait_s` for the first one.

    Raises Missing when `offset` is before the beginning or after the end, and Unavailable.
    """
    cluster.keep_fresh()
    request = FetchRequest(
        max_wait_time=round(wait_s * 1000),
        min_bytes=1,
        max_bytes=PAGE_BYTES,
        isolation_level=0,
        topics=[(place.topic, [(place.partition, offset, PAGE_BYTES)])],
    )
    try:
        part = await cluster.ask_leader(place, request, lane=f"fetch {place}", within_s=within_s)
    except Refused as error:
        if error.code != _OUT_OF_RANGE:
            raise
        first, last = await beginning(cluster, place, within_s=within_s), await end(cluster, place, within_s=within_s)
        raise Missing(f"kafka {place}: has the offsets {first} to {last}, not {offset}") from None
    return _page(place, offset, part[-1])


async def beginning(cluster: KafkaCluster, place: Place, *, within_s: float) -> int:
    """Return the lowest offset that is kept. Raises Unavailable."""
    return await _offset_at(cluster, place, _EARLIEST, within_s)


async def end(cluster: KafkaCluster, place: Place, *, within_s: float) -> int:
    """Return the offset of the next confirmed record; all confirmed ones are below. Raises Unavailable.

    A new leader answers once it knows how far its log was confirmed under the leader before, not earlier.
    """
    return await _offset_at(cluster, place, _LATEST, within_s)


async def _offset_at(cluster: KafkaCluster, place: Place, moment: int, within_s: float) -> int:
    request = OffsetRequest(-1, 0, [(place.topic, [(place.partition, moment)])])
    part = await cluster.ask_leader(place, request, lane=META, within_s=within_s)
    return int(part[3])


def _page(place: Place, offset: int, data: Any) -> Page:
    """Return the records from `offset` on. `data` is whole batches, the last of which may be incomplete."""
    found: list[Raw] = []
    batches = MemoryRecords(data or b"")
    try:
        while batches.has_next():
            batch = batches.next_batch()
            if not batch.validate_crc():
                raise Unavailable(f"kafka {place}: a batch from offset {batch.base_offset} does not have its checksum")
            found += [
                Raw(record.offset, record.key or b"", record.value or b"")
                for record in (() if batch.is_control_batch else batch)
                if record.offset >= offset
            ]
            offset = max(offset, batch.next_offset)
    except CorruptRecordException as error:
        raise Unavailable(f"kafka {place}: damaged at offset {offset}: {error}") from None
    return Page(found, offset)
