"""The numbering rule: its cases one by one, and that any crash and replay gives the same numbers."""

from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from sut.ports import Kind, LogRecord, Role, Span
from sut.protocol.frames import Flag, Nack
from sut.services.sequencer import rule
from sut.services.sequencer.rule import Conversation, Created, Refused, Repeated, Replayed, Sequenced

CONV = 77


def message(user: int, client_seq: int, device: int | None = None) -> LogRecord:
    body = f"{user}/{client_seq}".encode()
    return LogRecord(Kind.MESSAGE, CONV, user, device or user * 10, client_seq, body, (), None)


def create(*members: int, kind: bytes = b"g") -> LogRecord:
    return LogRecord(Kind.CREATE, CONV, members[0], 0, 0, kind, members, None)


def change(kind: Kind, by: int, user: int) -> LogRecord:
    return LogRecord(kind, CONV, by, 0, 0, b"", (user,), None)


def name(by: int, user: int, role: int) -> LogRecord:
    return LogRecord(Kind.ROLE, CONV, by, 0, 0, bytes([role]), (user,), None)


def run(*records: LogRecord, cap: int = 500) -> tuple[Conversation | None, list[rule.Outcome]]:
    state, outcomes = None, []
    for offset, record in enumerate(records, 1):
        state, outcome = rule.apply(state, offset, record, group_cap=cap)
        outcomes.append(outcome)
    return state, outcomes


def seqs(outcomes: list[rule.Outcome]) -> list[int]:
    return [outcome.message.seq for outcome in outcomes if isinstance(outcome, Sequenced)]


def test_messages_and_membership_changes_share_one_sequence_without_holes():
    state, outcomes = run(
        create(1, 2), message(1, 1), change(Kind.ADD, 1, 3), message(3, 1), change(Kind.REMOVE, 1, 2), message(1, 2)
    )
    assert seqs(outcomes) == [1, 2, 3, 4, 5]
    assert outcomes[2].message.flags == Flag.MEMBER_ADD
    assert state.spans[3] == [Span(3, 3)]
    assert state.spans[2] == [Span(2, 1, 4)]


def test_what_was_refused_for_good_stays_refused_when_its_sender_is_added_again():
    late = message(2, 7)
    records = (create(1, 2), change(Kind.REMOVE, 1, 2), late, change(Kind.ADD, 1, 2), late, message(2, 8))
    state, outcomes = run(*records)
    assert outcomes[2] == outcomes[4] == Refused(Nack.NOT_MEMBER)
    assert seqs(outcomes) == [1, 2, 3]
    assert Conversation.from_image(state.image()).marks == state.marks


def test_a_repeat_gets_the_number_it_took_however_late_it_comes():
    _, outcomes = run(create(1, 2), message(1, 5), *(message(2, n) for n in range(1, 1000)), message(1, 5))
    assert outcomes[-1] == Repeated(1)


def test_an_overtaken_client_seq_is_refused_for_good():
    _, outcomes = run(create(1, 2), message(1, 5), message(1, 4))
    assert outcomes[-1] == Refused(Nack.STALE)


def test_devices_of_one_user_are_told_apart():
    _, outcomes = run(create(1, 2), message(1, 1, device=10), message(1, 1, device=11))
    assert seqs(outcomes) == [1, 2]


def test_strangers_and_former_members_are_refused_differently():
    _, outcomes = run(create(1, 2), message(9, 1), change(Kind.REMOVE, 2, 2), message(2, 1))
    assert outcomes[1] == Refused(Nack.FOREIGN)
    assert outcomes[3] == Refused(Nack.NOT_MEMBER)


def test_a_message_to_no_conversation_is_refused_and_makes_none():
    state, outcomes = run(message(1, 1))
    assert (state, outcomes) == (None, [Refused(Nack.FOREIGN)])


def test_the_cap_is_kept_in_log_order():
    _, outcomes = run(
        create(1, 2),
        change(Kind.ADD, 1, 3),
        change(Kind.ADD, 1, 4),
        change(Kind.REMOVE, 1, 3),
        change(Kind.ADD, 1, 4),
        cap=3,
    )
    assert outcomes[2] == Refused(Nack.GROUP_FULL)
    assert seqs(outcomes) == [1, 2, 3]
    assert run(create(1, 2, 3), cap=2) == (None, [Refused(Nack.GROUP_FULL)])


def test_membership_of_a_direct_conversation_is_fixed():
    _, outcomes = run(create(1, 2, kind=b"d"), change(Kind.ADD, 1, 3), change(Kind.REMOVE, 1, 2))
    assert outcomes[1:] == [Refused(Nack.NOT_ALLOWED)] * 2


def test_only_the_creator_or_oneself_removes_and_only_members_add():
    _, outcomes = run(create(1, 2, 3), change(Kind.REMOVE, 2, 3), change(Kind.REMOVE, 3, 3), change(Kind.ADD, 9, 8))
    assert outcomes[1] == Refused(Nack.NOT_ALLOWED)
    assert isinstance(outcomes[2], Sequenced)
    assert outcomes[3] == Refused(Nack.FOREIGN)


def test_member_changes_repeat_to_the_same_number():
    _, outcomes = run(
        create(1, 2),
        change(Kind.ADD, 1, 3),
        change(Kind.ADD, 1, 3),
        change(Kind.REMOVE, 1, 3),
        change(Kind.REMOVE, 1, 3),
    )
    assert [type(o).__name__ for o in outcomes[1:]] == ["Sequenced", "Repeated", "Sequenced", "Repeated"]
    assert (outcomes[2], outcomes[4]) == (Repeated(1), Repeated(2))


def test_creating_twice_changes_nothing():
    state, outcomes = run(create(1, 2), message(1, 1), create(1, 2))
    assert outcomes[-1] == Repeated(0)
    assert state.members() == [1, 2]


records = st.lists(
    st.one_of(
        st.builds(message, st.integers(1, 4), st.integers(1, 6)),
        st.builds(change, st.sampled_from([Kind.ADD, Kind.REMOVE]), st.integers(1, 4), st.integers(1, 5)),
        st.builds(name, st.integers(1, 4), st.integers(1, 5), st.sampled_from(Role)),
        st.just(create(1, 2, 3)),
    ),
    max_size=40,
).map(lambda tail: [create(1, 2, 3), *tail])


@settings(max_examples=300)
@given(records, st.data())
def test_a_crash_at_any_point_and_a_replay_from_any_earlier_commit_give_the_same_numbers(log, data):
    """The store may be ahead of the commit: a replayed record then changes nothing, and its answer is the old one."""
    whole, outcomes = run(*log)
    stored = data.draw(st.integers(1, len(log)), label="records in the stored state")
    committed = data.draw(st.integers(0, stored), label="records below the committed offset")
    before, _ = run(*log[:stored])
    state = Conversation.from_image(before.image())
    for offset in range(committed + 1, len(log) + 1):
        was = outcomes[offset - 1]
        snapshot = copy.deepcopy(state)
        state, outcome = rule.apply(state, offset, log[offset - 1], group_cap=500)
        if offset > stored:
            assert outcome == was
        else:
            assert state == snapshot
            assert isinstance(outcome, Repeated | Replayed) or outcome == was == Refused(Nack.NOT_MEMBER)
            if isinstance(outcome, Repeated) and isinstance(was, Sequenced):
                assert outcome.seq == was.message.seq
    assert state == whole


@settings(max_examples=200)
@given(records)
def test_numbers_are_dense_and_each_message_has_one(log):
    _, outcomes = run(*log)
    numbers = seqs(outcomes)
    assert numbers == list(range(1, len(numbers) + 1))
    taken = [
        (o.message.device, o.message.client_seq) for o in outcomes if isinstance(o, Sequenced) and o.message.device
    ]
    assert len(taken) == len(set(taken))
    for device in {d for d, _ in taken}:
        mine = [c for d, c in taken if d == device]
        assert mine == sorted(mine), "a device's messages keep their order"
    assert sum(isinstance(o, Created) for o in outcomes) == 1


def test_a_creation_again_is_the_same_whatever_became_of_the_members():
    _, outcomes = run(
        create(1, 2, 3), change(Kind.REMOVE, 1, 3), change(Kind.ADD, 1, 4), message(4, 1), create(1, 3, 2)
    )
    assert outcomes[-1] == Repeated(0)
    _, outcomes = run(create(1, 2, kind=b"d"), create(2, 1, kind=b"d"))
    assert outcomes[-1] == Repeated(0)


def test_another_creation_under_the_same_key_is_refused_and_changes_nothing():
    """It was acknowledged with the old conversation: the caller believed that its members were in it."""
    for other in (create(1, 2), create(1, 2, 3, 4), create(1, 2, 3, kind=b"m")):
        state, outcomes = run(create(1, 2, 3), change(Kind.ADD, 1, 4), message(1, 1), other, message(1, 2))
        assert outcomes[3] == Refused(Nack.REUSED)
        assert isinstance(outcomes[4], Sequenced)
        assert sorted(state.members()) == [1, 2, 3, 4]
        _, again = rule.apply(state, 4, other, group_cap=500)  # a replay says the same
        assert again == Refused(Nack.REUSED)
