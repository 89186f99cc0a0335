"""Roles in a group: each case, and the rule against a model that keeps a list of members and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sut.ports import Kind, LogRecord, Role, RoleMark, Span
from sut.protocol.frames import Flag, Nack
from sut.services.sequencer import rule
from sut.services.sequencer.rule import Conversation, Refused, Repeated, Sequenced

CONV = 77
USERS = (1, 2, 3, 4, 5, 6)


def create(*members: int, kind: bytes = b"g") -> LogRecord:
    return LogRecord(Kind.CREATE, CONV, members[0], 0, 0, kind, members, None)


def add(by: int, user: int) -> LogRecord:
    return LogRecord(Kind.ADD, CONV, by, 0, 0, b"", (user,), None)


def remove(by: int, user: int) -> LogRecord:
    return LogRecord(Kind.REMOVE, CONV, by, 0, 0, b"", (user,), None)


def name(by: int, user: int, role: int) -> LogRecord:
    return LogRecord(Kind.ROLE, CONV, by, 0, 0, bytes([role]), (user,), None)


def run(*records: LogRecord, state: Conversation | None = None, offset: int = 0, cap: int = 500):
    outcomes = []
    for at, record in enumerate(records, offset + 1):
        state, outcome = rule.apply(state, at, record, group_cap=cap)
        outcomes.append(outcome)
    return state, outcomes


def last(*records: LogRecord, cap: int = 500):
    return run(*records, cap=cap)[1][-1]


def test_the_owner_names_admins_and_only_the_owner_does():
    state, outcomes = run(create(1, 2, 3), name(1, 2, Role.ADMIN), name(2, 3, Role.ADMIN), name(3, 3, Role.ADMIN))
    assert (outcomes[1].message.seq, outcomes[1].message.flags) == (1, Flag.MEMBER_ROLE)
    assert (outcomes[1].message.user, outcomes[1].message.body) == (2, bytes([Role.ADMIN]))
    assert outcomes[2:] == [Refused(Nack.NOT_ALLOWED)] * 2
    assert [state.role_of(user) for user in (1, 2, 3)] == [Role.OWNER, Role.ADMIN, Role.MEMBER]


def test_admins_remove_members_but_neither_admins_nor_the_owner():
    group = (create(1, 2, 3, 4), name(1, 2, Role.ADMIN), name(1, 3, Role.ADMIN))
    assert isinstance(last(*group, remove(2, 4)), Sequenced)
    assert last(*group, remove(2, 3)) == Refused(Nack.NOT_ALLOWED)
    assert last(*group, remove(2, 1)) == Refused(Nack.NOT_ALLOWED)
    assert last(*group, remove(4, 2)) == Refused(Nack.NOT_ALLOWED)
    assert isinstance(last(*group, remove(1, 2)), Sequenced)
    assert last(*group, remove(9, 4)) == Refused(Nack.FOREIGN)


def test_in_a_managed_group_only_admins_add():
    group = (create(1, 2, 3, kind=b"m"), name(1, 2, Role.ADMIN))
    assert last(*group, add(3, 4)) == Refused(Nack.NOT_ALLOWED)
    assert isinstance(last(*group, add(2, 4)), Sequenced)
    assert isinstance(last(*group, add(1, 4)), Sequenced)
    assert isinstance(last(create(1, 2, 3), add(3, 4)), Sequenced)


def test_an_owner_stays_owner_until_another_is_named():
    assert last(create(1, 2), name(1, 1, Role.MEMBER)) == Refused(Nack.OWNER_STAYS)
    state, outcomes = run(create(1, 2), name(1, 2, Role.OWNER), name(1, 2, Role.OWNER), name(2, 1, Role.MEMBER))
    assert outcomes[1].roles == (RoleMark(2, Role.OWNER, 1), RoleMark(1, Role.ADMIN, 1))
    assert outcomes[2] == Repeated(1)
    assert (state.role_of(1), state.role_of(2)) == (Role.MEMBER, Role.OWNER)


def test_an_admin_may_step_down_and_nobody_rises_by_oneself():
    group = (create(1, 2, 3), name(1, 2, Role.ADMIN))
    assert isinstance(last(*group, name(2, 2, Role.MEMBER)), Sequenced)
    assert last(*group, name(2, 2, Role.OWNER)) == Refused(Nack.NOT_ALLOWED)
    assert last(*group, name(2, 1, Role.MEMBER)) == Refused(Nack.NOT_ALLOWED)


@pytest.mark.parametrize(
    ("before", "heir"),
    [
        ((), 2),
        ((name(1, 4, Role.ADMIN),), 4),
        ((name(1, 4, Role.ADMIN), name(1, 3, Role.ADMIN)), 3),
        ((remove(2, 2), add(1, 2)), 3),
        ((remove(3, 3), add(1, 3), name(1, 3, Role.ADMIN), name(1, 4, Role.ADMIN)), 4),
    ],
    ids=["smallest id", "an admin first", "of two admins as old", "who came back is younger", "the older admin"],
)
def test_who_is_owner_when_the_owner_leaves(before, heir):
    state, outcomes = run(create(1, 2, 3, 4), *before, remove(1, 1))
    assert state.role_of(heir) == Role.OWNER
    assert outcomes[-1].message.body == heir.to_bytes(8, "big")
    assert sum(state.role_of(user) == Role.OWNER for user in state.members()) == 1


def test_who_comes_back_is_a_plain_member():
    state, _ = run(create(1, 2), remove(1, 1), add(2, 1))
    assert (state.role_of(1), state.role_of(2)) == (Role.MEMBER, Role.OWNER)
    state, _ = run(create(1, 2), name(1, 2, Role.ADMIN), remove(1, 2), add(1, 2))
    assert state.role_of(2) == Role.MEMBER


def test_a_group_that_all_left_stays_empty():
    state, outcomes = run(create(1, 2), remove(1, 1), remove(2, 2), add(2, 3))
    assert state.members() == []
    assert outcomes[-1] == Refused(Nack.FOREIGN)
    assert outcomes[-2].message.body == b""


def test_roles_are_of_members_of_groups():
    assert last(create(1, 2, kind=b"d"), name(1, 2, Role.ADMIN)) == Refused(Nack.NOT_ALLOWED)
    assert last(create(1, 2), name(1, 3, Role.ADMIN)) == Refused(Nack.NOT_MEMBER)
    assert last(create(1, 2), name(3, 2, Role.ADMIN)) == Refused(Nack.FOREIGN)
    assert last(create(1, 2), name(1, 2, 3)) == Refused(Nack.NOT_ALLOWED)


def test_adds_at_once_fill_a_group_to_the_cap_and_not_beyond():
    """The log orders them: of 600 adds by members who know nothing of each other 490 find room."""
    state, outcomes = run(create(*range(1, 11)), *(add(1 + n % 10, 100 + n) for n in range(600)))
    assert len(state.members()) == 500
    assert outcomes[1:].count(Refused(Nack.GROUP_FULL)) == 110
    assert all(isinstance(outcome, Sequenced) for outcome in outcomes[1:491])


class Model:
    """A group as people think of it: who is in it, in the order of coming, each with a role."""

    def __init__(self, creator: int, others: tuple[int, ...], *, managed: bool) -> None:
        self.members = {creator: "owner"} | dict.fromkeys(others, "member")
        self.came = dict.fromkeys(self.members, 0)
        self.managed = managed
        self.number = 0

    def may(self, record: LogRecord) -> bool:
        """Whether this is a change that this user may make and that changes something."""
        by, user = self.members.get(record.user), record.members[0]
        of = self.members.get(user)
        if by is None:
            return False
        if record.kind == Kind.ADD:
            return of is None and len(self.members) < 5 and (by != "member" or not self.managed)
        if record.kind == Kind.REMOVE:
            if record.user == user:
                return True
            return (by, of) in {("owner", "admin"), ("owner", "member"), ("admin", "member")}
        role = ("member", "admin", "owner")[record.body[0]]
        if of is None or of in (role, "owner"):
            return False
        return by == "owner" or (by == "admin" and record.user == user and role == "member")

    def apply(self, record: LogRecord) -> bool:
        if not self.may(record):
            return False
        self.number += 1
        user = record.members[0]
        if record.kind == Kind.ADD:
            self.members[user], self.came[user] = "member", self.number
        elif record.kind == Kind.REMOVE:
            if self.members.pop(user) == "owner" and self.members:
                rest = [u for u in self.members if self.members[u] == "admin"] or list(self.members)
                self.members[min(rest, key=lambda u: (self.came[u], u))] = "owner"
        else:
            self.members[user] = ("member", "admin", "owner")[record.body[0]]
            if self.members[user] == "owner":
                self.members[record.user] = "admin"
        return True


users = st.sampled_from(USERS)
changes = st.lists(
    st.one_of(
        st.builds(add, users, users),
        st.builds(remove, users, users),
        st.builds(name, users, users, st.sampled_from(Role)),
    ),
    max_size=40,
)


@settings(max_examples=500, deadline=None)
@given(st.booleans(), changes, st.data())
def test_the_rule_is_the_model_and_a_replay_from_any_image_says_the_same(managed, records, data):
    log = [create(1, 2, 3, kind=b"m" if managed else b"g"), *records]
    model = Model(1, (2, 3), managed=managed)
    state, outcomes = run(log[0], cap=5)
    images = [state.image()]
    for offset, record in enumerate(log[1:], 1):
        changed = model.apply(record)
        state, (outcome,) = run(record, state=state, offset=offset, cap=5)
        outcomes.append(outcome)
        images.append(state.image())
        assert isinstance(outcome, Sequenced) == changed, (record, outcome)
        assert state.head == model.number
        assert {user: state.role_of(user).name.lower() for user in state.members()} == model.members
    cut = data.draw(st.integers(0, len(records)), label="stored after so many records")
    again, repeated = run(*log[cut + 1 :], state=Conversation.from_image(images[cut]), offset=cut + 1, cap=5)
    assert repeated == outcomes[cut + 1 :]
    assert again == state


@settings(max_examples=200, deadline=None)
@given(changes)
def test_the_rows_alone_tell_who_is_in_and_in_which_role(records):
    """What a client knows: the members at the creation, and the changes in the order of their numbers."""
    state, outcomes = run(create(1, 2, 3), *records, cap=5)
    known = {1: Role.OWNER, 2: Role.MEMBER, 3: Role.MEMBER}
    for row in (outcome.message for outcome in outcomes if isinstance(outcome, Sequenced)):
        if row.flags == Flag.MEMBER_ADD:
            known[row.user] = Role.MEMBER
        elif row.flags == Flag.MEMBER_REMOVE:
            del known[row.user]
            if row.body:
                known[int.from_bytes(row.body, "big")] = Role.OWNER
        else:
            if row.body[0] == Role.OWNER:
                known |= {user: Role.ADMIN for user, role in known.items() if role == Role.OWNER}
            known[row.user] = Role(row.body[0])
    assert known == {user: state.role_of(user) for user in state.members()}


def test_a_store_from_before_there_were_roles_reads_as_its_creator_owning_the_group():
    state, _ = run(create(1, 2))
    old = Conversation.from_image(state.image())
    assert old.roles == {}
    assert (old.role_of(1), old.role_of(2)) == (Role.OWNER, Role.MEMBER)
    assert old.spans[1] == [Span(1, 1)]
