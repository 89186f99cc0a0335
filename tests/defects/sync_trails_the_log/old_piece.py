"""Known bad: SYNC takes a user's conversations from the store only, which does not have the newest ones yet."""

from __future__ import annotations

from typing import Any

from sut.deploy.topology import Topology
from sut.services.sequencer.fresh import Fresh
from sut.services.sequencer.pieces import SequencerPieces
from tests.defects.sync_trails_the_log.trigger import Late

CAUGHT_BY = ("catch_up",)


class Forgetful(Fresh):
    """Tells nobody what is not stored yet."""

    def of(self, user: int) -> tuple[int, ...]:
        return ()


class OnlyTheStore(Late):
    """Leaves it to the store which conversations a user has."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.fresh = Forgetful()


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(worker=OnlyTheStore)
