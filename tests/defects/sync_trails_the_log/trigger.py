"""What the log has is in the store only 25 s later, the first time. That is no defect by itself.

Normally it is a tenth of a second later, so few devices connect just then. Three Cassandra nodes on a busy machine take
some seconds.
"""

from __future__ import annotations

import asyncio

from sut.deploy.topology import Topology
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.worker import PartitionWorker

BEHIND_S = 25.0


class Late(PartitionWorker):
    """Waits before it stores anything for the first time."""

    _waited = False

    async def store(self) -> None:
        if not self._waited:
            self._waited = True
            await asyncio.sleep(BEHIND_S)
        await super().store()


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(worker=Late)
