"""MessageLog on Kafka: a topic of records, a topic of commits, three replicas of each.

An append is durable when all replicas in sync have it, and at least two are (acks=all, min.insync.replicas=2). Records
that wait in this process for one partition share a batch (group_commit.py). The port's offsets are Kafka's plus one,
because 0 means that there is nothing.

An append that was Unavailable may be in the log whole, in part (from its beginning), or not at all. It may still land
for as long as some connection holds it: a link that was cut delivers it when it heals. All promises hold even so:
- Order of a sender: a device has one SEND a conversation in progress. The next one leaves after an answer to the first,
  or after the first was given up. If that one lands later, a higher client_seq of the device is already sequenced. It
  is refused as STALE (services/sequencer/rule.py); the device has moved on and ignores that.
- Dedup: the device repeats it under the same client_seq, perhaps through another process. The copy that comes first in
  the log is numbered; the rule recognises the other by (device, client_seq), for ever.
- An append may be there without its last records. Each record stands for itself, is repeated by its own device, and
  those of one device are in their order.
- A membership change whose outcome was unknown may take place late. Its caller was told so.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import msgspec

from sut.adapters.kafka import fetch as kafka_fetch
from sut.adapters.kafka.cluster import KafkaCluster
from sut.adapters.kafka.commits import Commits
from sut.adapters.kafka.map import Address, Place
from sut.adapters.kafka.produce import Produce
from sut.adapters.kafka.topics import commits_topic, records_topic, until_ready
from sut.adapters.kafka.writer import RECORD_OVERHEAD, Item, PartitionWriter
from sut.adapters.shared.commit_key import commit_key
from sut.adapters.shared.group_commit import GroupCommit
from sut.adapters.shared.patience import patience
from sut.deploy.logins import Login
from sut.ports import Follower, Logged, LogRecord, Unavailable

DEADLINE_S: Final = 2.0
"""A broker's death costs more (two to four seconds until others lead). Devices repeat; nobody waits here for it."""
ATTEMPT_SHARE: Final = 0.85
"""Share of the deadline for the attempts, so that they give up first and can say what failed."""
READ_WAIT_S: Final = 0.1
MAX_WAITING: Final = 10_000
"""Records of one partition that may wait in this process; beyond it an append is refused at once."""
MAX_WAITING_BYTES: Final = 8 << 20
"""The same limit in bytes: bodies have up to 16 KB."""
MAX_BATCH: Final = 1_000
TICK_S: Final = 0.03
"""An append costs the brokers four requests, whatever it carries. So it waits 15 ms, in the mean, for other records,
also of other partitions and processes: a broker's followers fetch them together."""

_KEY: Final = struct.Struct(">Q")
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[LogRecord] = msgspec.msgpack.Decoder(LogRecord)


class KafkaLog:
    """The log in a cluster's topics. Belongs to one event loop; other processes open the same topics."""

    def __init__(
        self,
        dialed: Mapping[Address, Address],
        *,
        topic: str,
        partitions: int,
        node: str = "petrel",
        deadline_s: float = DEADLINE_S,
        login: Login | None = None,
    ) -> None:
        """Connects at the first call, and makes the topics if they are missing.

        `dialed`: a broker's own address, as the cluster names it -> where to dial it. `node`: this client's name in the
        brokers' logs. No call takes much longer than `deadline_s`, the first ones twice that.
        """
        records, commits = records_topic(topic, partitions), commits_topic(f"{topic}-commits")
        self._topics = (records, commits)
        self._deadline_s = deadline_s
        self._cluster = KafkaCluster(dialed, (records.name, commits.name), client_id=node, login=login)
        produce, within_s = Produce(self._cluster), ATTEMPT_SHARE * deadline_s
        self._places = [Place(topic, partition) for partition in range(partitions)]
        self._appends: list[GroupCommit[Item, int]] = [
            GroupCommit(
                str(place),
                PartitionWriter(self._cluster, produce, place, within_s=within_s).write,
                max_batch=MAX_BATCH,
                max_waiting=MAX_WAITING,
                tick_s=TICK_S,
            )
            for place in self._places
        ]
        self._waiting_bytes = [0] * partitions
        self._readers = [_Reader(self._cluster, place, within_s=within_s) for place in self._places]
        self._commits = Commits(self._cluster, produce, commits.name, within_s=within_s)
        self._preparing: asyncio.Task[None] | None = None
        self._trouble = ""
        self._closed = False
        self._appending = 0
        self._none_appending = asyncio.Event()
        self._none_appending.set()

    async def append(self, partition: int, records: Sequence[LogRecord]) -> list[int]:
        """Append in order; on return all are durable. Raises Unavailable: see above for what may be in the log."""
        items = [Item(_KEY.pack(record.conv), _encoder.encode(record)) for record in records]
        size = sum(len(item.value) + RECORD_OVERHEAD for item in items)
        waiting = self._waiting_bytes[partition]
        if waiting and waiting + size > MAX_WAITING_BYTES:
            raise Unavailable(f"kafka {self._places[partition]}: overloaded, {waiting} bytes wait")
        self._waiting_bytes[partition] += size
        self._appending += 1
        self._none_appending.clear()
        try:
            await self._ready()
            async with self._in_time(self._places[partition]):
                return [offset + 1 for offset in await self._appends[partition].submit(items)]
        finally:
            self._waiting_bytes[partition] -= size
            self._appending -= 1
            if not self._appending:
                self._none_appending.set()

    async def read(self, partition: int, after: int, limit: int) -> list[Logged]:
        """Return up to `limit` records above `after`, in order; waits READ_WAIT_S for a first one. Raises Unavailable,
        also when `after` is beyond the end: confirmed records are gone, and to continue would skip their replacements.
        """
        await self._ready()
        return await self._readers[partition].read(after, limit)

    async def end(self, partition: int) -> int:
        """The offset of the last durable record, 0 when there is none."""
        await self._ready()
        return await kafka_fetch.end(self._cluster, self._places[partition], within_s=self._deadline_s)

    async def committed(self, partition: int, follower: Follower = Follower.SEQUENCER) -> int:
        """The offset that this follower last committed, 0 if it never committed."""
        await self._ready()
        async with self._in_time("commits"):
            return await self._commits.committed(commit_key(partition, follower))

    async def commit(self, partition: int, offset: int, follower: Follower = Follower.SEQUENCER) -> None:
        """Record that the follower has finished everything up to `offset`. Never moves back."""
        await self._ready()
        async with self._in_time("commits"):
            await self._commits.commit(commit_key(partition, follower), offset)

    async def close(self) -> None:
        """Finish the appends and commits in progress, within the deadline, and close the connections."""
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadline_s):
                await self._none_appending.wait()
                for appends in self._appends:
                    await appends.close()
                await self._commits.close()
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        await self._cluster.close()

    async def _ready(self) -> None:
        """Wait until the topics are there. Raises Unavailable after the deadline, or when the log is closed."""
        if self._closed:
            raise Unavailable("kafka: closed")
        if self._preparing is None or _failed(self._preparing):
            self._trouble = ""
            ready = until_ready(self._cluster, self._topics, self._tell)
            self._preparing = asyncio.create_task(ready, name="kafka topics")
        if self._preparing.done():
            return
        async with self._in_time("topics"):
            await asyncio.shield(self._preparing)

    @contextlib.asynccontextmanager
    async def _in_time(self, what: object) -> AsyncIterator[None]:
        """Raise Unavailable in the block if it takes longer than the deadline."""
        try:
            async with patience(self._deadline_s):
                yield
        except TimeoutError:
            trouble = self._trouble or self._cluster.trouble()
            raise Unavailable(f"kafka {what}: no answer in {self._deadline_s} s ({trouble})") from None

    def _tell(self, trouble: str) -> None:
        self._trouble = trouble


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


class _Reader:
    """Reads one partition on from where the last read ended, or from any other offset."""

    def __init__(self, cluster: KafkaCluster, place: Place, *, within_s: float) -> None:
        self._cluster = cluster
        self._place = place
        self._within_s = within_s
        self._position = 0
        self._ahead: deque[kafka_fetch.Raw] = deque()
        """Records fetched beyond the position: less than a page."""

    async def read(self, after: int, limit: int) -> list[Logged]:
        # The port's `after` is the Kafka offset of the next record.
        if after != self._position or not self._ahead:
            ahead = await self._fetch(after)
            self._position, self._ahead = after, ahead  # no await from here on, so that reads do not mix
        found = [self._ahead.popleft() for _ in range(min(limit, len(self._ahead)))]
        if found:
            self._position = found[-1].offset + 1
        return [Logged(raw.offset + 1, self._decode(raw)) for raw in found]

    async def _fetch(self, offset: int) -> deque[kafka_fetch.Raw]:
        while True:
            page = await kafka_fetch.fetch(
                self._cluster, self._place, offset, wait_s=READ_WAIT_S, within_s=self._within_s
            )
            if page.records or page.next == offset:
                return deque(page.records)
            offset = page.next  # only control records of the brokers

    def _decode(self, raw: kafka_fetch.Raw) -> LogRecord:
        try:
            return _decoder.decode(raw.value)
        except msgspec.DecodeError as error:
            raise Unavailable(f"kafka {self._place}: record {raw.offset + 1} is not of this version: {error}") from None
