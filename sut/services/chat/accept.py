"""Appends SENDs to the log: batches what waits for a partition into one durable append, then pokes its sequencer.

Nothing is acknowledged here. The ACK comes from the sequencer, which reads the record from the log, so it cannot
come before the append is durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sut.ports import LogRecord, MessageLog, Unavailable
from sut.process.peer import PeerLink
from sut.process.trace import OFF, Hop, Trace
from sut.protocol.peer import Poke
from sut.protocol.tracing import is_traced
from sut.services.waiting import next_batch

MAX_WAITING: Final = 10_000
"""Records that may wait for one partition: beyond it a SEND is refused as OVERLOADED."""
MAX_BATCH: Final = 500

log = logging.getLogger("accept")


@dataclass(frozen=True, slots=True)
class Pending:
    """A record to append, and the callback for the case that the append fails (outcome unknown)."""

    record: LogRecord
    failed: Callable[[], None]


class Acceptor:
    """Appends the messages of one partition to the log."""

    def __init__(self, partition: int, message_log: MessageLog, sequencer: PeerLink, *, trace: Trace = OFF) -> None:
        """`sequencer`: the link to the partition's owner."""
        self._partition = partition
        self._log = message_log
        self._sequencer = sequencer
        self._trace = trace
        self._queue: asyncio.Queue[Pending] = asyncio.Queue(MAX_WAITING)
        self.appended = 0
        self.failed = 0

    def offer(self, pending: Pending) -> bool:
        """Take a record for the next append. Returns False when too many wait."""
        try:
            self._queue.put_nowait(pending)
        except asyncio.QueueFull:
            return False
        return True

    async def run(self) -> None:
        """Append the waiting records in batches, for ever."""
        while True:
            batch = await next_batch(self._queue, MAX_BATCH)
            records = [item.record for item in batch]
            every = self._trace.every
            traced = [record for record in records if is_traced(record.device, record.client_seq, every)]
            self._stamp(Hop.APPENDING, traced)
            try:
                await self.append(self._partition, records)
            except Unavailable as error:
                log.warning("partition %d: append failed: %s", self._partition, error)
                self.failed += len(batch)
                for item in batch:
                    item.failed()
            else:
                self._stamp(Hop.DURABLE, traced)
                self.appended += len(batch)
                self._sequencer.send(Poke(self._partition))

    def _stamp(self, hop: Hop, traced: Sequence[LogRecord]) -> None:
        for record in traced:
            self._trace.stamp(hop, device=record.device, client_seq=record.client_seq, conv=record.conv)

    async def append(self, partition: int, records: Sequence[LogRecord]) -> None:
        """Make the records durable. Raises Unavailable: they may be in the log or not."""
        await self._log.append(partition, records)
