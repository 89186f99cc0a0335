"""Known bad: who is in no stored state is a stranger, although the sequencer has not stored the newest members yet."""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.protocol.peer import ReadHot
from sut.services.chat.pieces import ChatPieces
from sut.services.chat.reader import NotMember, Reader


class Hasty(Reader):
    """Believes the store about who never was a member."""

    async def page(self, conv: int, user: int, *, after: int, limit: int) -> bytes:
        answer = await self._ask(ReadHot(conv, user, after, limit))
        if not answer.hit:
            return await self._stored_page(conv, user, after, limit, told=answer.head)
        if not answer.member:
            raise NotMember
        return answer.page


def chat(_topology: Topology) -> ChatPieces:
    return ChatPieces(reader=Hasty)
