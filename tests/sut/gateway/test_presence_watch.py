"""Who watches whom, and damping: a made-up clock, looks as they come."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from sut.gateway.presence_watch import Watchers
from sut.protocol.signals import Seen

ANN, BOB = 1, 2
V, W = 71, 72
"""Viewers."""


def seen(**states: bool) -> dict[int, tuple[bool, int]]:
    """ann=True: a look found her."""
    users = {"ann": ANN, "bob": BOB}
    return {users[name]: (online, 0 if online else 50 + users[name]) for name, online in states.items()}


def test_the_first_look_tells_and_then_only_changes_do() -> None:
    watchers = Watchers(grace_s=3)
    watchers.watch(V, (ANN, BOB))
    assert watchers.due() == [ANN, BOB]
    assert watchers.news(seen(ann=True, bob=False), 0) == {V: [Seen(ANN, 1, 0), Seen(BOB, 0, 52)]}
    assert watchers.news(seen(ann=True, bob=False), 1) == {}
    assert watchers.news(seen(ann=True, bob=True), 2) == {V: [Seen(BOB, 1, 0)]}


def test_going_is_told_after_the_grace_with_when_it_was_and_coming_at_once() -> None:
    watchers = Watchers(grace_s=3)
    watchers.watch(V, (ANN,))
    watchers.news(seen(ann=True), 0)
    for now in (1, 2, 3, 3.9):
        assert watchers.news(seen(ann=False), now) == {}
    assert watchers.news(seen(ann=False), 4) == {V: [Seen(ANN, 0, 51)]}
    assert watchers.news(seen(ann=True), 4.5) == {V: [Seen(ANN, 1, 0)]}


def test_a_flap_is_no_news_however_often() -> None:
    watchers = Watchers(grace_s=3)
    watchers.watch(V, (ANN,))
    watchers.news(seen(ann=True), 0)
    for start in range(1, 100, 3):
        assert watchers.news(seen(ann=False), start) == {}
        assert watchers.news(seen(ann=False), start + 1) == {}
        assert watchers.news(seen(ann=True), start + 2) == {}


def test_while_nobody_answers_nothing_is_told_and_the_grace_begins_anew() -> None:
    watchers = Watchers(grace_s=3)
    watchers.watch(V, (ANN,))
    watchers.news(seen(ann=True), 0)
    watchers.news(seen(ann=False), 1)
    watchers.freeze()
    assert watchers.news(seen(ann=False), 60) == {}, "the store may have come back empty"
    assert watchers.news(seen(ann=False), 62.9) == {}
    assert watchers.news(seen(ann=False), 63) == {V: [Seen(ANN, 0, 51)]}


def test_who_looks_later_is_told_the_picture_there_is() -> None:
    watchers = Watchers(grace_s=3)
    watchers.watch(V, (ANN,))
    watchers.news(seen(ann=True), 0)
    watchers.news(seen(ann=False), 1)
    watchers.watch(W, (ANN,))
    assert watchers.news(seen(ann=False), 2) == {W: [Seen(ANN, 1, 0)]}
    assert watchers.news(seen(ann=False), 4) == {V: [Seen(ANN, 0, 51)], W: [Seen(ANN, 0, 51)]}


def test_a_watch_replaces_the_one_before() -> None:
    watchers = Watchers(grace_s=3)
    watchers.watch(V, (ANN,))
    watchers.news(seen(ann=True), 0)
    watchers.watch(V, (ANN, BOB, BOB))
    assert watchers.news(seen(ann=True, bob=True), 1) == {V: [Seen(BOB, 1, 0)]}
    watchers.watch(V, (BOB,))
    assert watchers.due() == [BOB]
    assert watchers.news(seen(ann=True, bob=True), 2) == {}
    watchers.watch(V, (ANN, BOB))
    assert watchers.news(seen(ann=True, bob=True), 3) == {V: [Seen(ANN, 1, 0)]}


def test_nothing_is_kept_of_those_who_left() -> None:
    watchers = Watchers(grace_s=3)
    watchers.watch(V, (ANN, BOB))
    watchers.watch(W, (BOB,))
    watchers.forget(V)
    assert watchers.due() == [BOB]
    watchers.forget(W)
    watchers.forget(W)
    assert (watchers.due(), watchers.watched, watchers._pairs, watchers._told) == ([], 0, 0, {})


def test_pairs_are_bounded_and_freed() -> None:
    watchers = Watchers(grace_s=3, max_pairs=3)
    watchers.watch(V, (1, 2))
    watchers.watch(W, (1, 2, 3))
    assert (watchers.due(), watchers.cut) == ([1, 2], 2)
    watchers.forget(V)
    watchers.watch(W, (1, 2, 3))
    assert watchers.due() == [1, 2, 3]


def test_more_than_one_look_can_hold_are_looked_at_in_turn() -> None:
    watchers = Watchers(grace_s=3, max_looked=3)
    watchers.watch(V, tuple(range(1, 8)))
    looked = [watchers.due() for _ in range(7)]
    assert all(len(users) == 3 for users in looked)
    assert {user: sum(user in users for users in looked) for user in range(1, 8)} == dict.fromkeys(range(1, 8), 3)


events = st.lists(st.one_of(st.tuples(st.just("look"), st.booleans()), st.just(("away", False))), max_size=60)


@given(events)
@settings(deadline=None)
def test_told_states_alternate_and_end_as_the_looks_do(looks: list[tuple[str, bool]]) -> None:
    watchers = Watchers(grace_s=2)
    watchers.watch(V, (ANN,))
    states: list[int] = []
    for second, (what, online) in enumerate(looks):
        if what == "away":
            watchers.freeze()
        else:
            states += [item.state for item in watchers.news(seen(ann=online), second).get(V, [])]
    assert all(one != other for one, other in pairwise(states))
    for second in range(100, 104):
        states += [item.state for item in watchers.news(seen(ann=False), second).get(V, [])]
    assert states[-1] == 0
