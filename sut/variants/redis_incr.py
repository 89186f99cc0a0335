"""Known bad: numbers come from Redis INCR, so a failover to a replica that lags hands them out again.

Redis replicates asynchronously: after a failover the counter may stand where it stood a moment ago, and hand out
numbers that other messages have. A restart that replays the log also counts the same records twice.
"""

from __future__ import annotations

from sut.adapters.redis.counter import RedisCounter
from sut.deploy.topology import Topology
from sut.ports import Kind, LogRecord
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.worker import PartitionWorker

CAUGHT_BY = ("gaps_forks", "duplicates", "acked_lost")


def sequencer(topology: Topology) -> SequencerPieces:
    """Return a worker whose partitions share one connection to Redis in this process."""
    counters: list[RedisCounter] = []

    class CountingWorker(PartitionWorker):
        """Asks Redis for the number of each new message."""

        async def number(self, record: LogRecord) -> int | None:
            """Return the answer of INCR; None if the record is a repeat or gets no number."""
            live = self._live.get(record.conv)
            if record.kind != Kind.MESSAGE or live is None:
                return None
            mark = live.state.marks.get(record.device)
            if (mark is not None and record.client_seq <= mark.client_seq) or not live.state.is_member(record.user):
                return None
            if not counters:
                counters.append(RedisCounter(topology, topology.sequencer_of(self.partition).name))
            return await self._until_available(lambda: counters[0].increment(record.conv))

    return SequencerPieces(worker=CountingWorker)
