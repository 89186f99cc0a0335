"""The rule for ADD, REMOVE and ROLE: joining, leaving and roles in a group. As pure as the rest of the rule.

A group has one owner (first its creator), admins whom the owner names, and members. Admins add and remove members; the
owner also adds and removes admins. Every member may leave. In a group of kind "g" every member may add. The owner gives
the role away by naming another owner, and becomes an admin. When the owner leaves, the admin with the longest stay
becomes owner. Without admins it is the member with the longest stay (the smaller id of two). This is a function of the
state, so every replay names the same heir. A user who left or was removed comes back as a plain member. A group that
all have left stays empty.

Each change takes a number like a message. Its row names the user concerned. The body of a ROLE is the new role, one
byte. The body of an owner's removal is the heir's id, eight bytes, big-endian. Others have none.
"""

from __future__ import annotations

from sut.ports import Kind, LogRecord, Role, RoleMark, Span, StoredMessage
from sut.protocol.frames import Flag, Nack
from sut.services.sequencer.state import DIRECT, MANAGED, Conversation, Outcome, Refused, Repeated, Sequenced


def change(state: Conversation, record: LogRecord, group_cap: int) -> Outcome:
    """Apply a record that changes members or roles and return its outcome; changes `state` in place."""
    if record.user not in state.spans:
        return Refused(Nack.FOREIGN)
    if state.kind == DIRECT:
        return Refused(Nack.NOT_ALLOWED)
    match record.kind:
        case Kind.ADD:
            return _add(state, record.user, record.members[0], group_cap)
        case Kind.REMOVE:
            return _remove(state, record.user, record.members[0])
        case Kind.ROLE:
            return _role(state, record.user, record.members[0], record.body)
        case _:
            return Refused(Nack.NOT_ALLOWED)


def heir(state: Conversation, leaving: int) -> int | None:
    """Return who becomes owner when `leaving`, the owner, leaves; None when nobody is left."""
    others = [user for user in state.members() if user != leaving]
    return min(others, key=lambda user: (-state.role_of(user), state.spans[user][-1].first, user), default=None)


def _add(state: Conversation, by: int, user: int, group_cap: int) -> Outcome:
    if not state.is_member(by):
        return Refused(Nack.FOREIGN)
    if state.is_member(user):
        return Repeated(state.spans[user][-1].first - 1)
    if state.kind == MANAGED and state.role_of(by) < Role.ADMIN:
        return Refused(Nack.NOT_ALLOWED)
    if len(state.members()) >= group_cap:
        return Refused(Nack.GROUP_FULL)
    state.head += 1
    span = Span(user, state.head + 1)
    state.spans.setdefault(user, []).append(span)
    return Sequenced(StoredMessage(state.head, Flag.MEMBER_ADD, user, 0, 0, b""), span)


def _remove(state: Conversation, by: int, user: int) -> Outcome:
    if by != user:
        if not state.is_member(by):
            return Refused(Nack.FOREIGN)
        if state.role_of(by) < Role.ADMIN:
            return Refused(Nack.NOT_ALLOWED)
    if not state.is_member(user):
        spans = state.spans.get(user)
        return Repeated(spans[-1].end) if spans else Refused(Nack.NOT_MEMBER)
    role = state.role_of(user)
    if by != user and role >= state.role_of(by):
        return Refused(Nack.NOT_ALLOWED)
    roles: tuple[RoleMark, ...] = ()
    body = b""
    if role is Role.OWNER and (next_owner := heir(state, user)) is not None:
        roles = _give(state, next_owner, Role.OWNER)
        body = next_owner.to_bytes(8, "big")
    if role is not Role.MEMBER:
        roles += _give(state, user, Role.MEMBER)
    state.head += 1
    span = Span(user, state.spans[user][-1].first, state.head)
    state.spans[user][-1] = span
    return Sequenced(StoredMessage(state.head, Flag.MEMBER_REMOVE, user, 0, 0, body), span, roles)


def _role(state: Conversation, by: int, user: int, body: bytes) -> Outcome:
    if not state.is_member(by):
        return Refused(Nack.FOREIGN)
    if not state.is_member(user):
        return Refused(Nack.NOT_MEMBER)
    if len(body) != 1 or body[0] > Role.OWNER:
        return Refused(Nack.NOT_ALLOWED)
    role, had, may = Role(body[0]), state.role_of(user), state.role_of(by)
    if role is had:
        mark = state.roles.get(user)
        return Repeated(mark.seq if mark is not None else 0)
    if had is Role.OWNER:
        return Refused(Nack.OWNER_STAYS if by == user else Nack.NOT_ALLOWED)
    steps_down = by == user and role is Role.MEMBER
    if may is not Role.OWNER and not steps_down:
        return Refused(Nack.NOT_ALLOWED)
    roles = _give(state, user, role)
    if role is Role.OWNER:
        roles += _give(state, by, Role.ADMIN)
    state.head += 1
    return Sequenced(StoredMessage(state.head, Flag.MEMBER_ROLE, user, 0, 0, bytes([role])), None, roles)


def _give(state: Conversation, user: int, role: Role) -> tuple[RoleMark, ...]:
    """Set the role in the state, under the number that the change is about to take. Return the new mark."""
    mark = state.roles[user] = RoleMark(user, role, state.head + 1)
    return (mark,)
