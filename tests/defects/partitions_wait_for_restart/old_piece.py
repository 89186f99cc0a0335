"""Known bad: the partitions of a dead sequencer wait for its restart."""

from __future__ import annotations

import asyncio

from sut.deploy.topology import Topology
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.understudy import Understudy

CAUGHT_BY = ("felt",)


class Absent(Understudy):
    """Takes nothing over."""

    async def run(self) -> None:
        await asyncio.Event().wait()


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(understudy=Absent)
