"""Known bad: the chat service gives a conversation to anybody who asks, member or not.

It reads the page from the store and does not look who may see it. A device that asks for a conversation of others gets
all that is stored of it. So does a removed member, and a member who asks for messages from before the join.
"""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.ports import Span
from sut.protocol.frames import MAX_FETCH, encode
from sut.services.chat.pieces import ChatPieces
from sut.services.chat.reader import NotMember, Reader
from sut.services.visibility import cut_back, cut_page, stretch_before

CAUGHT_BY = ("leaks",)


class OpenReader(Reader):
    """Gives every user what a member since the beginning may see."""

    def at_hand(self, conv: int, user: int, *, after: int, limit: int) -> bytes | None:
        """Return None always: the answer would depend on the members."""
        return None

    async def page(self, conv: int, user: int, *, after: int, limit: int) -> bytes:
        """Return the stored page to anybody, or a normal answer if nothing is stored. Raises NotMember, Unavailable."""
        limit = max(1, min(limit, MAX_FETCH))
        rows = await self._store.page(conv, after, limit)
        image = await self._store.load(conv)
        if image is None or not rows:
            return await super().page(conv, user, after=after, limit=limit)
        covered = rows[-1].seq
        return encode(
            cut_page(conv, [Span(user, 1)], rows, after=after, covered=covered, head=max(image.row.head, covered))
        )

    async def page_before(self, conv: int, user: int, *, before: int, limit: int) -> bytes:
        """Return the stored rows to anybody. Raises NotMember, Unavailable."""
        limit = max(1, min(limit, MAX_FETCH))
        image = await self._store.load(conv)
        if image is None:
            raise NotMember
        spans = [Span(user, 1)]
        stretch = stretch_before(spans, before, image.row.head)
        rows = await self._store.page_before(conv, stretch.end, limit)
        return encode(cut_back(conv, spans, rows, stretch, exhausted=len(rows) < limit, head=image.row.head))


def chat(_topology: Topology) -> ChatPieces:
    return ChatPieces(reader=OpenReader)
