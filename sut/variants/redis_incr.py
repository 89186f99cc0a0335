"""Known bad: a message's number is the answer of Redis INCR, not a function of the log.

Redis replicates behind: after a failover the counter may stand where it stood a moment ago, and hands out numbers
that other messages have. A restart that replays the log also counts the same records twice.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sut.adapters.redis.counter import RedisCounter
from sut.ports import Kind, LogRecord, Unavailable
from sut.services.sequencer.worker import RETRY_S, PartitionWorker

if TYPE_CHECKING:
    from sut.deploy.topology import Topology


def worker_class(topology: Topology) -> type[PartitionWorker]:
    """A worker that asks Redis for numbers, its counter shared by all partitions of the process."""
    counters: list[RedisCounter] = []

    class CountingWorker(PartitionWorker):
        """Asks Redis for each new message's number."""

        async def number(self, record: LogRecord) -> int | None:
            """INCR, unless the record is a repeat or does not get a number."""
            live = self._live.get(record.conv)
            if record.kind != Kind.MESSAGE or live is None:
                return None
            mark = live.state.marks.get(record.device)
            if (mark is not None and record.client_seq <= mark.client_seq) or not live.state.is_member(record.user):
                return None
            if not counters:
                counters.append(RedisCounter(topology, topology.sequencer_of(self.partition).name))
            while True:
                try:
                    return await counters[0].increment(record.conv)
                except Unavailable:
                    await asyncio.sleep(RETRY_S)

    return CountingWorker
