"""Known bad: the log offset is committed before the rows are in the store, so a crash in between forgets them.

A SIGKILL between the two loses rows for good. The restart believes the commit and begins after it, finds an older state
in the store, and gives the lost numbers to other messages.
"""

from __future__ import annotations

import asyncio
from functools import partial

from sut.deploy.topology import Topology
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.worker import PartitionWorker

CAUGHT_BY = ("acked_lost", "session")
DELAY_S = 0.5


class HastyWorker(PartitionWorker):
    """Commits the log before it writes the store, and does not ask the store how far it is."""

    async def begin_after(self) -> int:
        """Return what was committed."""
        return await self.committed_before()

    async def store(self) -> None:
        """Commit, wait DELAY_S, then write."""
        position, count, size = self._position, self._unstored, self._unstored_bytes
        await self._until_available(partial(self._log.commit, self.partition, position))
        self.committed = position
        writes = self.take_writes()
        await asyncio.sleep(DELAY_S)
        await self._until_available(partial(self._store.write, self.partition, writes))
        self._writing = {}
        self._unstored -= count
        self._unstored_bytes -= size


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(worker=HastyWorker)
