"""A conversation's members and messages for its members over HTTP; messages newest first by cursor.

It reads as a chat service does: from the sequencers' memory, else from the store, within what the user may see.
"""

from __future__ import annotations

from typing import Final

from sut.protocol.frames import Flag, Nack, Page, decode_server
from sut.services.api.control import Denied
from sut.services.api.ids import both
from sut.services.api.model import ROLES, Change, HistoryMessage, HistoryPage, Member, MemberList
from sut.services.chat.reader import NotMember, Reader
from sut.services.sequencer.state import DIRECT, MANAGED

_CHANGES: Final[tuple[tuple[int, Change], ...]] = (
    (Flag.MEMBER_ADD, "added"),
    (Flag.MEMBER_REMOVE, "removed"),
    (Flag.MEMBER_ROLE, "role"),
)


class Conversations:
    """Reads for users of the HTTP API."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def members(self, conv: int, user: int) -> MemberList:
        """Return all members, to a member. Raises Denied, Unavailable."""
        try:
            found = await self._reader.members(conv, user)
        except NotMember:
            raise Denied(Nack.FOREIGN) from None
        direct = found.kind == DIRECT
        return MemberList(
            "direct" if direct else "group",
            "nobody" if direct else "admins" if found.kind == MANAGED else "members",
            [
                Member(*both(member), "member" if direct else ROLES[role], first)
                for member, role, first in found.members
            ],
        )

    async def messages(self, conv: int, user: int, *, before: int, limit: int) -> HistoryPage:
        """Return the messages before `before`, to a present or past member. Raises Denied, Unavailable."""
        try:
            page = decode_server(await self._reader.page_before(conv, user, before=before, limit=limit))
        except NotMember:
            raise Denied(Nack.FOREIGN) from None
        assert isinstance(page, Page)
        return HistoryPage(
            page.head,
            page.through,
            [
                HistoryMessage(m.seq, *both(m.user), *both(m.device), *both(m.client_seq), m.body, _change(m.flags))
                for m in page.messages
            ],
        )


def _change(flags: int) -> Change:
    for flag, name in _CHANGES:
        if flags & flag:
            return name
    return ""
