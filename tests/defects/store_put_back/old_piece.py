"""Known bad: a sequencer that starts believes what was committed to the log, whatever the store holds."""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.worker import PartitionWorker

CAUGHT_BY = ("acked_lost", "gaps_forks")


class Believing(PartitionWorker):
    """Begins after the last commit."""

    async def begin_after(self) -> int:
        return await self.committed_before()


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(worker=Believing)
