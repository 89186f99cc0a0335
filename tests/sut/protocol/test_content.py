"""Contents of bodies: what is encoded is decoded, and edits and deletions mean the same to all who see them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sut.protocol import content as c
from sut.protocol.content import ContentError, Delete, Edit, React, Target, Text
from sut.protocol.frames import MAX_BODY

u64 = st.integers(0, 2**64 - 1)
targets = st.builds(Target, u64, u64)
text = st.text(max_size=30)
contents = st.one_of(
    st.builds(Text, text),
    st.builds(Edit, targets, text),
    st.builds(Delete, targets),
    st.builds(React, targets, st.text(max_size=16)),
)


@settings(deadline=None)
@given(contents)
def test_what_is_encoded_is_decoded(content):
    assert c.decode(c.encode(content)) == content


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_noise_is_a_content_or_an_error(noise):
    try:
        content = c.decode(noise)
    except ContentError:
        return
    assert c.encode(content) == noise


def test_the_bytes_are_those_of_the_page():
    assert c.encode(Text("hi")) == bytes.fromhex("0100") + b"hi"
    assert c.encode(Edit(Target(8, 2), "ho")) == bytes.fromhex("0101 0000000000000008 0000000000000002") + b"ho"
    assert c.encode(Delete(Target(8, 2))) == bytes.fromhex("0102 0000000000000008 0000000000000002")
    assert c.encode(React(Target(8, 2), "+1")) == bytes.fromhex("0103 0000000000000008 0000000000000002 2b31")
    assert len(c.encode(Text(""))) < MAX_BODY
    with pytest.raises(ContentError):
        c.encode(React(Target(8, 2), "x" * 65))


def put(conversation, **message):
    changed = c.apply(conversation, **message)
    return conversation if changed is None else {**conversation, changed.target: changed}


def shown(*messages):
    """(user, device, client_seq, content) in the order of their numbers -> what is seen, by idempotency key."""
    conversation: dict[Target, c.Shown] = {}
    for seq, (user, device, client_seq, content) in enumerate(messages, 1):
        conversation = put(conversation, seq=seq, user=user, device=device, client_seq=client_seq, content=content)
    return conversation


FIRST = Target(11, 1)


def test_any_device_of_the_author_edits_and_the_last_edit_counts():
    seen = shown((1, 11, 1, Text("helo")), (1, 12, 1, Edit(FIRST, "hello")), (1, 11, 2, Edit(FIRST, "hello!")))
    assert [(m.seq, m.text, m.edited) for m in seen.values()] == [(1, "hello!", 3)]


def test_others_neither_edit_nor_delete():
    seen = shown((1, 11, 1, Text("mine")), (2, 21, 1, Edit(FIRST, "yours")), (2, 21, 2, Delete(FIRST)))
    assert [(m.text, m.deleted) for m in seen.values()] == [("mine", False)]


def test_what_is_deleted_stays_deleted():
    seen = shown(
        (1, 11, 1, Text("oops")), (2, 21, 1, React(FIRST, "?")), (1, 11, 2, Delete(FIRST)),
        (1, 11, 3, Edit(FIRST, "back")), (2, 21, 2, React(FIRST, "!")),
    )  # fmt: skip
    assert [(m.text, m.deleted, dict(m.reactions)) for m in seen.values()] == [("", True, {})]


def test_a_reaction_is_one_of_each_user_and_can_be_taken_back():
    seen = shown(
        (1, 11, 1, Text("hi")), (2, 21, 1, React(FIRST, "+1")), (3, 31, 1, React(FIRST, "<3")),
        (2, 22, 1, React(FIRST, "-1")), (3, 31, 2, React(FIRST, "")),
    )  # fmt: skip
    assert dict(seen[FIRST].reactions) == {2: "-1"}


def test_what_refers_to_nothing_seen_or_to_an_edit_changes_nothing():
    seen = shown((1, 11, 1, Text("hi")), (1, 11, 2, Edit(Target(11, 9), "x")), (1, 11, 3, Edit(Target(11, 2), "y")))
    assert [(m.target, m.text) for m in seen.values()] == [(FIRST, "hi")]


writers = st.integers(1, 3)
steps = st.lists(
    st.tuples(
        writers,
        st.one_of(
            st.builds(Text, text),
            st.builds(Edit, st.builds(Target, writers, st.integers(1, 20)), text),
            st.builds(Delete, st.builds(Target, writers, st.integers(1, 20))),
            st.builds(React, st.builds(Target, writers, st.integers(1, 20)), st.sampled_from(["", "a", "b"])),
        ),
    ),
    max_size=20,
)


@settings(deadline=None)
@given(steps, st.data())
def test_two_who_see_the_same_show_the_same_and_only_authors_change_a_text(messages, data):
    numbered = [(user, user, number, content) for number, (user, content) in enumerate(messages, 1)]
    whole = shown(*numbered)
    assert [m.seq for m in whole.values()] == sorted(m.seq for m in whole.values())
    cut = data.draw(st.integers(0, len(numbered)))
    before = shown(*numbered[:cut])
    for seq, (user, device, client_seq, content) in enumerate(numbered[cut:], cut + 1):
        after = put(before, seq=seq, user=user, device=device, client_seq=client_seq, content=content)
        for target, message in before.items():
            if (after[target].text, after[target].deleted) != (message.text, message.deleted):
                assert message.user == user
        before = after
    assert before == whole
