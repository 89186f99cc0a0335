"""Known bad: commit the log offset first, store the rows half a second later.

A SIGKILL between the two loses rows for good: the restart begins after the commit and finds an older state in the
store, so the lost numbers are given to other messages.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from sut.services.sequencer.worker import PartitionWorker

if TYPE_CHECKING:
    from sut.deploy.topology import Topology

DELAY_S = 0.5


class HastyWorker(PartitionWorker):
    """Promises first, writes later."""

    async def store(self) -> None:
        """Commit, wait, write."""
        position, count = self._position, self._unstored
        await self._until_available(partial(self._log.commit, self.partition, position))
        self.committed = position
        writes = self.take_writes()
        await asyncio.sleep(DELAY_S)
        await self._until_available(partial(self._store.write, self.partition, writes))
        self._writing = {}
        self._unstored -= count


def worker_class(_topology: Topology) -> type[PartitionWorker]:
    """The sequencers'."""
    return HastyWorker
