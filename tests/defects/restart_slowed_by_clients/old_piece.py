"""Known bad: while a sequencer is being started again, every SYNC asks the store for what it does not know yet."""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.services.chat.pieces import ChatPieces
from sut.services.chat.reader import Reader


class Impatient(Reader):
    """Leaves the store to no sequencer alone."""

    def _restarts(self, conv: int) -> bool:
        return False


def chat(_topology: Topology) -> ChatPieces:
    return ChatPieces(reader=Impatient)
