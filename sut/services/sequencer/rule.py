"""The rule that numbers a conversation: a pure function of the log.

`apply` takes the state of one conversation and the next record of its partition and says what becomes of it. It
reads no clock, no registry and no network, so whoever applies the same log computes the same numbers: a zombie
owner, its successor, and a restart that replays from the last committed offset. That is why no lock or lease
protects the order.

A conversation's numbers are 1, 2, 3... without holes, shared by messages and membership changes. Dedup has no time
window: for each (conversation, device) the last client_seq and its number are kept for ever, which is enough because
client_seq rises and a device has one unacknowledged SEND a conversation.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sut.ports import (
    ConversationImage,
    ConversationRow,
    Kind,
    LogRecord,
    SenderMark,
    Span,
    StoredMessage,
)
from sut.protocol.frames import Flag, Nack

DIRECT = "d"
GROUP = "g"


@dataclass(slots=True)
class Conversation:
    """The state of one conversation. Changed only by `apply`."""

    conv: int
    kind: str
    creator: int
    head: int = 0
    applied: int = 0
    """Log offset of the last record applied here: what is at or below it is already in this state."""
    spans: dict[int, list[Span]] = field(default_factory=dict)
    """By user, in order; at most the last one is open."""
    marks: dict[int, SenderMark] = field(default_factory=dict)
    """By device."""

    @classmethod
    def from_image(cls, image: ConversationImage) -> Conversation:
        """The state as it was stored."""
        row = image.row
        state = cls(row.conv, row.kind, row.creator, row.head, row.applied)
        for span in sorted(image.spans, key=lambda s: s.first):
            state.spans.setdefault(span.user, []).append(span)
        state.marks = {mark.device: mark for mark in image.marks}
        return state

    def row(self) -> ConversationRow:
        """What is stored of it beside spans and marks."""
        return ConversationRow(self.conv, self.kind, self.creator, self.head, self.applied)

    def members(self) -> list[int]:
        """Who is a member now."""
        return [user for user, spans in self.spans.items() if spans[-1].end == 0]

    def is_member(self, user: int) -> bool:
        """Whether the user is a member now."""
        spans = self.spans.get(user)
        return spans is not None and spans[-1].end == 0


@dataclass(frozen=True, slots=True)
class Sequenced:
    """The record took number `message.seq`. Store it, answer the sender, notify the members."""

    message: StoredMessage
    span: Span | None = None
    """The stay that a membership change opened or closed."""


@dataclass(frozen=True, slots=True)
class Created:
    """A new conversation exists; no number was taken."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """Seen before, or already so: answer with the number it took then (0: it took none)."""

    seq: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Definitely not in the conversation, now or later."""

    code: Nack


@dataclass(frozen=True, slots=True)
class Replayed:
    """A record that this state already contains, and that asks for no answer that could still be told."""


Outcome = Sequenced | Created | Repeated | Refused | Replayed


def apply(
    state: Conversation | None, offset: int, record: LogRecord, *, group_cap: int, seq: int | None = None
) -> tuple[Conversation | None, Outcome]:
    """The state after the record, and what becomes of the record. `state` is changed in place where there is one.

    `seq` overrides the number given to a new message: only a known-bad variant passes it.
    """
    if state is None:
        if record.kind == Kind.CREATE:
            return _create(offset, record, group_cap)
        return None, Refused(Nack.NO_CONVERSATION)
    if offset <= state.applied:
        return state, _recall(state, record)
    state.applied = offset
    match record.kind:
        case Kind.MESSAGE:
            return state, _message(state, record, seq)
        case Kind.CREATE:
            return state, Repeated(0)
        case Kind.ADD:
            return state, _add(state, record, group_cap)
        case _:
            return state, _remove(state, record)


def _create(offset: int, record: LogRecord, group_cap: int) -> tuple[Conversation | None, Outcome]:
    users = set(record.members) | {record.user}
    if len(users) > group_cap:
        return None, Refused(Nack.GROUP_FULL)
    kind = record.body.decode("ascii", "replace")
    state = Conversation(record.conv, kind, record.user, applied=offset)
    state.spans = {user: [Span(user, 1)] for user in sorted(users)}
    return state, Created()


def _recall(state: Conversation, record: LogRecord) -> Outcome:
    """What is still known of a record that was applied before a restart."""
    if record.kind == Kind.MESSAGE:
        mark = state.marks.get(record.device)
        if mark is not None and mark.client_seq == record.client_seq:
            return Repeated(mark.seq)
    elif record.kind == Kind.CREATE:
        return Repeated(0)
    return Replayed()


def _message(state: Conversation, record: LogRecord, seq: int | None) -> Outcome:
    mark = state.marks.get(record.device)
    if mark is not None and record.client_seq <= mark.client_seq:
        return Repeated(mark.seq) if record.client_seq == mark.client_seq else Refused(Nack.STALE)
    if not state.is_member(record.user):
        return Refused(Nack.NOT_MEMBER if record.user in state.spans else Nack.FOREIGN)
    number = state.head + 1 if seq is None else seq
    state.head = max(state.head, number)
    state.marks[record.device] = SenderMark(record.device, record.client_seq, number)
    return Sequenced(StoredMessage(number, 0, record.user, record.device, record.client_seq, record.body))


def _add(state: Conversation, record: LogRecord, group_cap: int) -> Outcome:
    if state.kind == DIRECT:
        return Refused(Nack.NOT_ALLOWED)
    if not state.is_member(record.user):
        return Refused(Nack.FOREIGN)
    user = record.members[0]
    if state.is_member(user):
        return Repeated(state.spans[user][-1].first - 1)
    if len(state.members()) >= group_cap:
        return Refused(Nack.GROUP_FULL)
    state.head += 1
    span = Span(user, state.head + 1)
    state.spans.setdefault(user, []).append(span)
    return Sequenced(StoredMessage(state.head, Flag.MEMBER_ADD, user, 0, 0, b""), span)


def _remove(state: Conversation, record: LogRecord) -> Outcome:
    if state.kind == DIRECT:
        return Refused(Nack.NOT_ALLOWED)
    user = record.members[0]
    if record.user not in (state.creator, user):
        return Refused(Nack.NOT_ALLOWED if state.is_member(record.user) else Nack.FOREIGN)
    if not state.is_member(user):
        spans = state.spans.get(user)
        return Repeated(spans[-1].end) if spans else Refused(Nack.NOT_MEMBER)
    state.head += 1
    span = Span(user, state.spans[user][-1].first, state.head)
    state.spans[user][-1] = span
    return Sequenced(StoredMessage(state.head, Flag.MEMBER_REMOVE, user, 0, 0, b""), span)
