"""Known bad: one counter for all conversations. Correct, and each message waits until it is its turn.

Every message takes a ticket from one counter in Redis before the rule numbers it: "so that all messages of the system
have one order". To be worth anything a ticket must not be handed out twice, so the counter waits for the replica to
have it, and must be taken in the order of the log, so there is one taker a sequencer, one ticket at a time. The
numbers that devices see are still the rule's, without holes in each conversation: a ticket that a crash wastes, or a
replay that takes another, does no harm. While Redis has no replica nobody gets a ticket and nothing is numbered.

Nothing is wrong with what it delivers: `petrel bench counter` measures what it costs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sut.adapters.redis.counter import RedisCounter
from sut.ports import Kind, LogRecord, Unavailable
from sut.services.sequencer.worker import RETRY_S, PartitionWorker

if TYPE_CHECKING:
    from sut.deploy.topology import Topology

EVERYTHING: Final = "everything"


def worker_class(topology: Topology) -> type[PartitionWorker]:
    """A worker that takes tickets; one queue for all partitions of the process."""
    turn = asyncio.Lock()
    counters: list[RedisCounter] = []

    class TicketWorker(PartitionWorker):
        """Asks for each message and goes on when it has the answer."""

        async def number(self, record: LogRecord) -> int | None:
            """The rule's, after a ticket."""
            if record.kind != Kind.MESSAGE:
                return None
            async with turn:
                if not counters:
                    counters.append(RedisCounter(topology, topology.sequencer_of(self.partition).name))
                while True:
                    try:
                        await counters[0].ticket(EVERYTHING)
                    except Unavailable:
                        await asyncio.sleep(RETRY_S)
                    else:
                        return None

    return TicketWorker
