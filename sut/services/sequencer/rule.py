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

from sut.ports import Kind, LogRecord, SenderMark, Span, StoredMessage
from sut.protocol.frames import Nack
from sut.services.sequencer import membership
from sut.services.sequencer.state import (
    DIRECT,
    GROUP,
    MANAGED,
    Conversation,
    Created,
    Outcome,
    Refused,
    Repeated,
    Replayed,
    Sequenced,
)

__all__ = [
    "DIRECT", "GROUP", "MANAGED", "Conversation", "Created", "Outcome", "Refused", "Repeated", "Replayed", "Sequenced",
    "apply",
]  # fmt: skip


def apply(
    state: Conversation | None, offset: int, record: LogRecord, *, group_cap: int, seq: int | None = None
) -> tuple[Conversation | None, Outcome]:
    """The state after the record, and what becomes of the record. `state` is changed in place where there is one.

    `seq` overrides the number given to a new message: only a known-bad variant passes it.
    """
    if state is None:
        if record.kind == Kind.CREATE:
            return _create(offset, record, group_cap)
        return None, Refused(Nack.FOREIGN)  # as of one that there is: a stranger learns of none whether it exists
    if offset <= state.applied:
        return state, _recall(state, record)
    state.applied = offset
    match record.kind:
        case Kind.MESSAGE:
            return state, _message(state, record, seq)
        case Kind.CREATE:
            return state, Repeated(0)
        case _:
            return state, membership.change(state, record, group_cap)


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
