"""Appends SENDs to the log: batches what waits for a partition into one durable append, then pokes its sequencer.

Nothing is acknowledged here. The ACK comes from the sequencer, which reads the record from the log, so it cannot
come before the append is durable.

A SEND that has waited for longer than PATIENCE_S is not appended but refused for now: its device is about to repeat it,
and would have it appended twice. It is in no log, and its device sends nothing more there before an answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sut.ports import LogRecord, MessageLog, Unavailable
from sut.process.metrics.instruments import Hop
from sut.process.trace import OFF, Trace
from sut.process.trace import Hop as Step
from sut.protocol.frames import Nack
from sut.protocol.peer import Poke
from sut.protocol.tracing import is_traced
from sut.services.covered import Way
from sut.services.waiting import next_batch

MAX_WAITING: Final = 10_000
"""Records that may wait for one partition: beyond it a SEND is refused as OVERLOADED."""
MAX_BATCH: Final = 500
PATIENCE_S: Final = 1.5
"""Below the 2 s after which a device repeats a SEND (ClientSettings.ack_timeout_s)."""

log = logging.getLogger("accept")


@dataclass(frozen=True, slots=True)
class Pending:
    """A record to append, and the callback that refuses it for now.

    It is refused when the append fails (then its outcome is unknown), or when it has waited too long.
    """

    record: LogRecord
    refuse: Callable[[Nack], None]
    since_s: float = field(default_factory=time.monotonic)


class Acceptor:
    """Appends the messages of one partition to the log."""

    patience_s: float = PATIENCE_S
    """Seconds that a SEND may wait for its append."""

    def __init__(self, partition: int, message_log: MessageLog, sequencer: Way, *, trace: Trace = OFF) -> None:
        """`sequencer`: the way to the partition's owner."""
        self._partition = partition
        self._log = message_log
        self._sequencer = sequencer
        self._trace = trace
        self._hop = Hop("chat")
        self._queue: asyncio.Queue[Pending] = asyncio.Queue(MAX_WAITING)
        self.appended = 0
        self.failed = 0
        self.dropped = 0
        """SENDs that were refused because they had waited too long."""

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
            batch = self._in_time(await next_batch(self._queue, MAX_BATCH))
            if not batch:
                continue
            records = [item.record for item in batch]
            every = self._trace.every
            traced = [record for record in records if is_traced(record.device, record.client_seq, every)]
            self._stamp(Step.APPENDING, traced)
            try:
                await self.append(self._partition, records)
            except Unavailable as error:
                log.warning(
                    "partition %d: append failed: %s", self._partition, error, extra={"partition": self._partition}
                )
                self.failed += len(batch)
                self._hop.failed(len(batch))
                for item in batch:
                    item.refuse(Nack.UNAVAILABLE)
            else:
                self._stamp(Step.DURABLE, traced)
                self.appended += len(batch)
                self._measure(batch)
                self._sequencer.send(Poke(self._partition))

    def _in_time(self, batch: list[Pending]) -> list[Pending]:
        """Refuse what has waited too long. Returns the rest, in order."""
        oldest_s = time.monotonic() - self.patience_s
        late = [item for item in batch if item.since_s < oldest_s]
        for item in late:
            item.refuse(Nack.OVERLOADED)
        self.dropped += len(late)
        self._hop.failed(len(late))
        return [item for item in batch if item.since_s >= oldest_s] if late else batch

    def _measure(self, batch: Sequence[Pending]) -> None:
        now_s, every = time.monotonic(), self._trace.every
        for item in batch:
            self._hop.took_for(now_s - item.since_s, item.record.device, item.record.client_seq, every)

    def _stamp(self, hop: Step, traced: Sequence[LogRecord]) -> None:
        for record in traced:
            self._trace.stamp(hop, device=record.device, client_seq=record.client_seq, conv=record.conv)

    async def append(self, partition: int, records: Sequence[LogRecord]) -> None:
        """Make the records durable. Raises Unavailable: they may be in the log or not."""
        await self._log.append(partition, records)
