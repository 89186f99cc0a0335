"""Known bad: one counter for all conversations: correct, but every message waits for its turn.

Every message takes a ticket from one counter in Redis before the rule numbers it, so that all messages of the system
have one order. No ticket may be handed out twice, so the counter waits until the replica has it. Tickets are taken in
the order of the log, so a sequencer takes one at a time. Devices still see the numbers of the rule, without gaps. A
ticket that a crash wastes, or that a replay takes again, does no harm. While Redis has no replica nothing is numbered.
"""

from __future__ import annotations

import asyncio
from typing import Final

from sut.adapters.redis.counter import RedisCounter
from sut.deploy.topology import Topology
from sut.ports import Kind, LogRecord
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.worker import PartitionWorker

MEASURED_BY = "counter"
EVERYTHING: Final = "everything"


def sequencer(topology: Topology) -> SequencerPieces:
    """Return a worker whose partitions share one queue for tickets in this process."""
    turn = asyncio.Lock()
    counters: list[RedisCounter] = []

    class TicketWorker(PartitionWorker):
        """Takes a ticket for each message before it numbers it."""

        async def number(self, record: LogRecord) -> int | None:
            """Take a ticket, and leave the number to the rule."""
            if record.kind != Kind.MESSAGE:
                return None
            async with turn:
                if not counters:
                    counters.append(RedisCounter(topology, topology.sequencer_of(self.partition).name))
                await self._until_available(lambda: counters[0].ticket(EVERYTHING))
            return None

    return SequencerPieces(worker=TicketWorker)
