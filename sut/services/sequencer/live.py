"""A conversation in its sequencer's memory: its state, its newest rows, and its changes that are not stored yet."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from sut.ports import ConversationWrite, RoleMark, SenderMark, Span, StoredMessage
from sut.protocol.frames import encode
from sut.protocol.peer import HotPage, Members
from sut.services.sequencer.rule import Conversation
from sut.services.visibility import cut_back, cut_page, stretch_before, visible_head

HOT_ROWS: Final = 64
"""Newest rows kept for members who fetch right after a notification; about 20 KB a busy conversation."""
HOT_BYTES: Final = 64 << 10
"""Bytes of these rows at most: 64 of the largest bodies (16 KB) would be a megabyte. The newest row always stays."""
ROW_BYTES: Final = 200
"""Memory of a row beside its body, in CPython, rounded up."""

SHARED_FROM: Final = 3
"""Smallest group whose pages name the other members for whom they are the same."""
_SEQ: Final = attrgetter("seq")


@dataclass(slots=True)
class Unstored:
    """Rows and state changes since the last write to the store."""

    rows: list[StoredMessage] = field(default_factory=list)
    spans: dict[tuple[int, int], Span] = field(default_factory=dict)
    marks: dict[int, SenderMark] = field(default_factory=dict)
    roles: dict[int, RoleMark] = field(default_factory=dict)


class HotRows(list[StoredMessage]):
    """The newest rows of a conversation, bounded in number and in bytes. Rows are appended, never taken out by hand.

    Most conversations in memory have none: an empty list takes 80 bytes, an empty deque 750.
    """

    __slots__ = ("size",)

    def __init__(self, rows: Iterable[StoredMessage] = ()) -> None:
        super().__init__()
        self.size = 0
        """Bytes of all rows, by ROW_BYTES and the bodies."""
        self.extend(rows)

    def append(self, row: StoredMessage) -> None:
        super().append(row)
        self.size += _size(row)
        while len(self) > HOT_ROWS or (self.size > HOT_BYTES and len(self) > 1):
            self.size -= _size(self.pop(0))

    def extend(self, rows: Iterable[StoredMessage]) -> None:
        for row in rows:
            self.append(row)

    def clear(self) -> None:
        super().clear()
        self.size = 0


def rows_between(rows: Sequence[StoredMessage], after: int, last: int) -> Sequence[StoredMessage]:
    """Return those of the rows, which are in order, whose numbers are above `after` and not above `last`."""
    return rows[bisect_right(rows, after, key=_SEQ) : bisect_right(rows, last, key=_SEQ)]


def _size(row: StoredMessage) -> int:
    return ROW_BYTES + len(row.body)


@dataclass(slots=True)
class Live:
    """One conversation in memory."""

    state: Conversation
    hot: HotRows = field(default_factory=HotRows)
    unstored: Unstored | None = None

    def changed(self) -> Unstored:
        """Return the record of changes that must be written; creates it if needed."""
        if self.unstored is None:
            self.unstored = Unstored()
        return self.unstored

    def take_write(self) -> ConversationWrite | None:
        """Return all unstored changes as one atomic write; they count as stored from here on."""
        unstored, self.unstored = self.unstored, None
        if unstored is None:
            return None
        spans, marks = tuple(unstored.spans.values()), tuple(unstored.marks.values())
        roles = tuple(unstored.roles.values())
        return ConversationWrite(self.state.row(), tuple(unstored.rows), spans, marks, roles)

    def page(self, user: int, after: int, limit: int) -> HotPage:
        """Return the rows after `after` for this user if memory holds them, else a miss with the visible head."""
        spans = self.state.spans.get(user, [])
        head = self.state.head
        if not spans:
            return HotPage(hit=True, member=False, head=0, page=b"")
        if after < head and (not self.hot or self.hot[0].seq > after + 1):
            return HotPage(hit=False, member=True, head=visible_head(spans, head), page=b"")
        rows = [row for row in self.hot if row.seq > after][:limit]
        covered = rows[-1].seq if len(rows) == limit else head
        page = cut_page(self.state.conv, spans, rows, after=after, covered=covered, head=head)
        readers = self._readers(user, after) if rows and len(self.state.spans) >= SHARED_FROM else ()
        return HotPage(hit=True, member=True, head=page.head, page=encode(page), readers=readers)

    def _readers(self, user: int, after: int) -> tuple[int, ...]:
        """The members who see every number above `after`, when this user is one of them."""
        sees_all = [u for u, spans in self.state.spans.items() if spans[-1].end == 0 and spans[-1].first <= after + 1]
        return tuple(sees_all) if user in sees_all else ()

    def page_before(self, user: int, before: int, limit: int) -> HotPage:
        """Return the rows before `before` for this user if memory holds them, else a miss with the visible head."""
        spans, head = self.state.spans.get(user, []), self.state.head
        if not spans:
            return HotPage(hit=True, member=False, head=0, page=b"")
        stretch = stretch_before(spans, before, head)
        rows = [row for row in self.hot if row.seq < stretch.end][-limit:]
        begins = not self.state.head or bool(self.hot and self.hot[0].seq == 1)
        reaches = bool(rows) and (rows[0].seq <= stretch.first or len(rows) == limit)
        if stretch.first < stretch.end and not (begins or reaches):
            return HotPage(hit=False, member=True, head=visible_head(spans, head), page=b"")
        exhausted = bool(rows) and rows[0].seq == 1
        page = cut_back(self.state.conv, spans, rows, stretch, exhausted=exhausted, head=head)
        return HotPage(hit=True, member=True, head=page.head, page=encode(page))

    def members(self) -> Members:
        """Return the present members, by user."""
        state = self.state
        users = sorted(state.members())
        return Members(
            state.head, state.kind, tuple((user, state.role_of(user), state.spans[user][-1].first) for user in users)
        )

    def head_for(self, user: int) -> int:
        """Return the highest number that this user may see."""
        return visible_head(self.state.spans.get(user, []), self.state.head)
