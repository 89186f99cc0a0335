"""The committed position of each follower in each partition. Commits never move back, whoever writes them and however
late. Partition and follower are one number here (commit_key.py), called the partition.

Kafka's own group offsets keep the last write, so an owner that stalled would move them back, and reading before
writing is a race. Here a commit is a record of a topic: its key is (partition, writer), its value the offset. The
committed offset is the largest value of all writers. A writer's values only rise in the order of the log. So
compaction, which keeps the last value of each key, keeps each writer's largest: the maximum over all never falls.

A writer's order is certain while each of its writes has an answer. After one without, which may land late, it
continues under another name. So there is a key for each life of a sequencer and each such failure; a life costs some
80 bytes for good.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from functools import partial
from typing import Final

from sut.adapters.kafka import fetch as kafka_fetch
from sut.adapters.kafka.cluster import KafkaCluster
from sut.adapters.kafka.map import Place
from sut.adapters.kafka.produce import Produce
from sut.adapters.kafka.writer import Item, PartitionWriter
from sut.adapters.shared.group_commit import GroupCommit

MAX_WAITING: Final = 1_000
MAX_BATCH: Final = 1_000
WAIT_S: Final = 0.1
"""Wait for records that the end promised and a new leader does not show yet."""
_KEY: Final = struct.Struct(">I8s")
_VALUE: Final = struct.Struct(">Q")


class Commits:
    """The commits of all partitions, in a topic with one partition."""

    def __init__(self, cluster: KafkaCluster, produce: Produce, topic: str, *, within_s: float) -> None:
        self._cluster = cluster
        self._place = Place(topic, 0)
        self._within_s = within_s
        self._reading = asyncio.Lock()
        self._read_to: int | None = None
        self._highest: dict[int, int] = {}
        self._name = secrets.token_bytes(8)
        writer = PartitionWriter(cluster, produce, self._place, within_s=within_s)
        self._group: GroupCommit[tuple[int, int], None] = GroupCommit(
            topic, partial(self._write, writer), max_batch=MAX_BATCH, max_waiting=MAX_WAITING
        )

    async def committed(self, partition: int) -> int:
        """The largest offset of any commit that had returned when this was called, 0 when none had. Raises
        Unavailable.

        The first call reads the topic, later ones what was added.
        """
        async with self._reading:
            if self._read_to is None:
                self._read_to = await kafka_fetch.beginning(self._cluster, self._place, within_s=self._within_s)
            end = await kafka_fetch.end(self._cluster, self._place, within_s=self._within_s)
            while self._read_to < end:
                page = await kafka_fetch.fetch(
                    self._cluster, self._place, self._read_to, wait_s=WAIT_S, within_s=self._within_s
                )
                for _, key, value in page.records:
                    self._note(_KEY.unpack(key)[0], _VALUE.unpack(value)[0])
                self._read_to = page.next
        return self._highest.get(partition, 0)

    async def commit(self, partition: int, offset: int) -> None:
        """Commit; on return it is as durable as a record. Raises Unavailable: the outcome is unknown."""
        await self._group.submit([(partition, offset)])

    async def close(self) -> None:
        """Wait for the commits in progress."""
        await self._group.close()

    async def _write(self, writer: PartitionWriter, commits: list[tuple[int, int]]) -> list[None]:
        """Write only offsets above all that are known, so that this writer's values rise."""
        rising: dict[int, int] = {}
        for partition, offset in commits:
            if offset > max(self._highest.get(partition, 0), rising.get(partition, 0)):
                rising[partition] = offset
        items = [Item(_KEY.pack(partition, self._name), _VALUE.pack(offset)) for partition, offset in rising.items()]
        try:
            await writer.write(items)
        except BaseException:
            self._name = secrets.token_bytes(8)
            raise
        for partition, offset in rising.items():
            self._note(partition, offset)
        return [None] * len(commits)

    def _note(self, partition: int, offset: int) -> None:
        self._highest[partition] = max(offset, self._highest.get(partition, 0))
