"""Known bad: while a sequencer is being started again, every SYNC asks the store for what it does not know yet."""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.services.chat.pieces import ChatPieces
from sut.services.chat.reader import Reader
from tests.defects.restart_slowed_by_clients.trigger import SlowReader

CAUGHT_BY = ("catch_up", "liveness")


class Impatient(Reader):
    """Leaves the store to no sequencer alone."""

    def _restarts(self, conv: int) -> bool:
        return False


class ImpatientAndSlow(Impatient, SlowReader):
    """The old piece under the trigger's condition."""


def chat(_topology: Topology) -> ChatPieces:
    return ChatPieces(reader=ImpatientAndSlow)
