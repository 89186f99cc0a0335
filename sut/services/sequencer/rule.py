"""The rule that numbers a conversation: a pure function of the log.

`apply` takes the state of one conversation and the next record of its partition, and returns the outcome. It reads no
clock, no registry and no network, so every process that applies the same log computes the same numbers. That holds for
a replaced owner, its successor, and a restart that replays from the last committed offset. That is why no lock or lease
protects the order.

A conversation's numbers are 1, 2, 3... without holes, shared by messages and membership changes. Dedup has no time
window: for each (conversation, device) the last client_seq and its number are kept for ever. That is enough because
client_seq rises and a device has one unacknowledged SEND a conversation. A digest of the body is kept with them: a
device that was restored from a copy uses numbers again for other messages, and must not be told that those are there.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

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

DIGEST_BYTES: Final = 7
REFUSED: Final = 0
"""The number in the mark of a SEND that was refused for good."""


def apply(
    state: Conversation | None, offset: int, record: LogRecord, *, group_cap: int, seq: int | None = None
) -> tuple[Conversation | None, Outcome]:
    """Return the state after the record, and the record's outcome. An existing `state` is changed in place.

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
            return state, _create_again(state, record)
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


def _create_again(state: Conversation, record: LogRecord) -> Outcome:
    """The same request again, or another one under the same key: that one must not be told that it was carried out.

    Who was there at the creation sees the conversation from number 1; whoever came later does not.
    """
    first = {user for user, spans in state.spans.items() if spans[0].first == 1}
    same = record.body.decode("ascii", "replace") == state.kind and set(record.members) | {record.user} == first
    return Repeated(0) if same else Refused(Nack.REUSED)


def _recall(state: Conversation, record: LogRecord) -> Outcome:
    """Return the outcome of a record that was already applied, as far as the state still shows it."""
    if record.kind == Kind.MESSAGE:
        mark = state.marks.get(record.device)
        if mark is not None and mark.client_seq == record.client_seq and _is_its_body(mark, record.body):
            return _again(mark)
    elif record.kind == Kind.CREATE:
        return _create_again(state, record)
    return Replayed()


def _message(state: Conversation, record: LogRecord, seq: int | None) -> Outcome:
    mark = state.marks.get(record.device)
    if mark is not None and record.client_seq <= mark.client_seq:
        if record.client_seq < mark.client_seq:
            return Refused(Nack.STALE, mark.client_seq)
        return _again(mark) if _is_its_body(mark, record.body) else Refused(Nack.REUSED, mark.client_seq)
    if not state.is_member(record.user):
        if record.user not in state.spans:
            return Refused(Nack.FOREIGN)
        # The user may be added again before a copy of this SEND comes: what was refused for good stays refused.
        state.marks[record.device] = SenderMark(record.device, record.client_seq, REFUSED, _digest(record.body))
        return Refused(Nack.NOT_MEMBER)
    number = state.head + 1 if seq is None else seq
    state.head = max(state.head, number)
    state.marks[record.device] = SenderMark(record.device, record.client_seq, number, _digest(record.body))
    return Sequenced(StoredMessage(number, 0, record.user, record.device, record.client_seq, record.body))


def _again(mark: SenderMark) -> Outcome:
    """Return the outcome of a repeated SEND."""
    return Refused(Nack.NOT_MEMBER) if mark.seq == REFUSED else Repeated(mark.seq)


def _digest(body: bytes) -> int:
    return int.from_bytes(blake2b(body, digest_size=DIGEST_BYTES).digest()) or 1


def _is_its_body(mark: SenderMark, body: bytes) -> bool:
    return not mark.digest or mark.digest == _digest(body)
