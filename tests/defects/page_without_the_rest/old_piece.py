"""Known bad: a page read from the store tells the store's head, although the sequencer has numbered newer messages."""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.protocol.peer import HEAD_STORED
from sut.services.chat.pieces import ChatPieces
from sut.services.chat.reader import Reader


class OnlyTheStore(Reader):
    """Does not use what the sequencer says of the head."""

    async def _stored_page(self, conv: int, user: int, after: int, limit: int, *, told: int) -> bytes:
        return await super()._stored_page(conv, user, after, limit, told=HEAD_STORED)


def chat(_topology: Topology) -> ChatPieces:
    return ChatPieces(reader=OnlyTheStore)
