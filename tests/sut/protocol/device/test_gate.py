"""What one device holds back, what it asks for meanwhile, and when it stops waiting."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from sut.protocol import frames as f
from sut.protocol.causal import CHANGED, ENTRY_SIZE, MAX_DEPENDENCIES, Dependency, pack, unpack
from sut.protocol.device.client import Client, ClientSettings
from tests.sut.protocol.device.client_kit import CONV, ME, fetches, give, online, sent, syncs, told, welcomed

OTHER = 70
FOREIGN = 71
SOMEBODY = 2
NOTHING = b"\0" * ENTRY_SIZE
"""A body that names number 0 of conversation 0."""


class Owner:
    """Bodies are what they name; of OTHER this user is a member, of FOREIGN nobody knows."""

    def __init__(self, member_of=(CONV, OTHER), grows=(), shared=None) -> None:
        self.members, self.growing, self.common = member_of, grows, shared

    def named_by(self, message):
        return unpack(message.body)

    def shared(self, _conv, other):
        return self.common is None or other in self.common

    def grows(self, conv):
        return conv in self.growing

    def may_be_in(self, user, _conv):
        return user != SOMEBODY

    def member_of(self, conv):
        return conv in self.members


def make(owner: Owner | None = None, **settings) -> Client:
    return Client(
        user=ME, device=ME, rng=random.Random(1), settings=ClientSettings(**settings), causality=owner or Owner()
    )


def message(seq: int, *names: tuple[int, int] | tuple[int, int, int], conv: int = CONV) -> f.Message:
    return f.Message(conv, seq, 0, 2, 2, conv * 100 + seq, pack([Dependency(*(*name, 0)[:3]) for name in names]))


def shown(client: Client) -> list[tuple[int, int]]:
    return [(event.message.conv, event.message.seq) for event in told(client, "Show")]


def answer(client: Client, fetch: f.Fetch, *messages: f.Message, head: int, now: float = 0.0) -> None:
    give(client, f.Page(fetch.req, fetch.conv, head, head, messages), now)


def ready(owner: Owner | None = None, **settings) -> Client:
    client = make(owner, **settings)
    online(client)
    sent(client)
    return client


def test_what_depends_on_nothing_and_what_is_there_already_is_shown_at_once():
    client = ready()
    give(client, message(1, conv=OTHER))
    give(client, message(1, (OTHER, 1)))
    assert shown(client) == [(OTHER, 1), (CONV, 1)]
    assert client.idle()


def test_an_answer_waits_for_its_question_and_asks_for_it():
    client = ready()
    give(client, message(1, (OTHER, 1)))
    give(client, message(2))
    assert shown(client) == []
    assert not client.idle()
    (fetch,) = fetches(client)
    assert (fetch.conv, fetch.after) == (OTHER, 0)
    give(client, f.Page(fetch.req, OTHER, 1, 1, (message(1, conv=OTHER),)), 0.3)
    events = client.events()
    assert [event.message.conv for event in events if type(event).__name__ == "Show"] == [OTHER, CONV, CONV]
    held = [event for event in events if type(event).__name__ == "HeldBack"]
    assert [(event.seq, event.for_s, event.late) for event in held] == [(1, 0.3, False), (2, 0.3, False)]
    assert client.idle()


def test_the_service_is_told_what_was_shown_and_not_what_came():
    client = ready()
    give(client, message(1))
    give(client, message(2, (OTHER, 1)))
    client.tick(1.0)
    assert [frame for frame in sent(client) if isinstance(frame, f.Recv)] == [f.Recv(CONV, 1)]


def test_a_question_may_itself_wait():
    client = ready(Owner(member_of=(CONV, OTHER, 72)))
    give(client, message(1, (OTHER, 1)))
    give(client, message(1, (72, 1), conv=OTHER))
    assert shown(client) == []
    give(client, message(1, conv=72))
    assert shown(client) == [(72, 1), (OTHER, 1), (CONV, 1)]


def test_the_first_part_of_a_page_may_be_what_others_wait_for():
    client = ready(Owner(member_of=(CONV, OTHER, 72)))
    give(client, message(1, (OTHER, 1)))
    (fetch,) = fetches(client)
    answer(client, fetch, message(1, conv=OTHER), message(2, (72, 1), conv=OTHER), head=2)
    assert shown(client) == [(OTHER, 1), (CONV, 1)]


def test_a_conversation_of_others_is_neither_waited_for_nor_fetched():
    client = ready()
    give(client, message(1, (FOREIGN, 5)))
    assert shown(client) == [(CONV, 1)]
    assert sent(client) == []


def test_before_the_first_sync_is_answered_any_conversation_may_be_ones_own():
    client = make()
    sync = welcomed(client)
    give(client, message(1, (FOREIGN, 1)))
    assert (shown(client), fetches(client)) == ([], [])
    give(client, f.Synced(sync.req, 0, ()))
    assert shown(client) == [(CONV, 1)]


def test_a_conversation_that_changed_lately_is_asked_for_and_waited_for_if_it_is_ones_own():
    client = ready()
    give(client, message(1, (FOREIGN, 3, CHANGED)))
    assert shown(client) == []
    asked = sent(client)
    assert [type(frame) for frame in asked] == [f.Sync], "no FETCH: who never was a member is cut off for it"
    give(client, f.Synced(asked[0].req, 0, (f.Entry(FOREIGN, 3, 0),)))
    (fetch,) = fetches(client)
    assert (fetch.conv, shown(client)) == (FOREIGN, [])
    answer(client, fetch, message(3, conv=FOREIGN), head=3)
    assert shown(client) == [(FOREIGN, 3), (CONV, 1)]


def test_a_conversation_that_changed_lately_and_is_not_ones_own_costs_one_sync():
    client = ready()
    give(client, message(1, (FOREIGN, 3, CHANGED)))
    (sync,) = syncs(client)
    give(client, f.Synced(sync.req, f.SYNCED_STALE, ()))
    assert shown(client) == [], "that answer was not sure"
    client.tick(2.0)
    (sync,) = syncs(client)
    give(client, f.Synced(sync.req, 0, ()), 2.0)
    assert shown(client) == [(CONV, 1)]


def test_a_sync_that_was_under_way_says_nothing_of_what_changed_meanwhile():
    client = ready()
    give(client, f.Beat(f.BEAT_RESYNC))
    (early,) = syncs(client)
    give(client, message(1, (FOREIGN, 3, CHANGED)))
    give(client, f.Synced(early.req, 0, ()))
    assert shown(client) == []
    client.tick(0.0)
    (late,) = syncs(client)
    give(client, f.Synced(late.req, 0, ()))
    assert shown(client) == [(CONV, 1)]


def removed(client: Client) -> float:
    """OTHER ends for this user at 1, whatever is named; returns the time after that was found out."""
    now = 0.0
    while client.next_wakeup() < 10 and told_to_wait(client):
        for frame in sent(client):
            if isinstance(frame, f.Fetch):
                give(client, f.Page(frame.req, OTHER, 1, 1, (message(1, conv=OTHER),) if not frame.after else ()), now)
            elif isinstance(frame, f.Sync):
                give(client, f.Synced(frame.req, 0, ()), now)
        now = client.next_wakeup()
        client.tick(now)
    return now


def told_to_wait(client: Client) -> bool:
    return client._gate.holding


def test_who_was_removed_waits_for_what_was_before_the_removal_only():
    client = ready()
    give(client, message(1, (OTHER, 5)))
    assert removed(client) < 5
    assert shown(client) == [(OTHER, 1), (CONV, 1)]
    give(client, message(2, (OTHER, 6)), 6.0)
    assert shown(client) == [(CONV, 2)], "and not again for the next message"
    give(client, f.Notify((f.Entry(OTHER, 9, f.Flag.MEMBER_ADD),)), 7.0)
    give(client, message(3, (OTHER, 9)), 7.0)
    assert shown(client) == [], "until something is heard of it"


def test_what_came_before_the_removal_and_waits_itself_is_waited_for():
    client = ready(Owner(member_of=(CONV, OTHER, 72)))
    give(client, message(1, (72, 1), conv=OTHER))
    client._gate.ended([OTHER], 0.0)
    give(client, message(1, (OTHER, 5)))
    assert shown(client) == []
    give(client, message(1, conv=72))
    assert shown(client) == [(72, 1), (OTHER, 1), (CONV, 1)]


def run_until(client: Client, end: float) -> None:
    now = client.next_wakeup()
    while now < end:
        client.tick(now)
        for frame in sent(client):
            if isinstance(frame, f.Heartbeat):
                give(client, f.Beat(0), now)
            elif isinstance(frame, f.Fetch):
                give(client, f.Error(frame.req, f.Nack.UNAVAILABLE), now)
        now = client.next_wakeup()


def test_nothing_waits_for_ever_and_what_waits_in_vain_is_told():
    client = ready(hold_s=15.0)
    give(client, message(1, (OTHER, 1)))
    give(client, message(2, (OTHER, 2)))
    (fetch,) = fetches(client)
    give(client, f.Error(fetch.req, f.Nack.UNAVAILABLE))
    run_until(client, 14.9)
    assert shown(client) == []
    run_until(client, 15.1)
    events = client.events()
    shows = [event for event in events if type(event).__name__ == "Show"]
    assert [(event.message.seq, event.incomplete) for event in shows] == [(1, True), (2, True)]
    assert [event.late for event in events if type(event).__name__ == "HeldBack"] == [True, True]


def test_only_the_message_that_was_shown_without_what_it_names_is_marked():
    client = ready(hold_s=15.0)
    give(client, message(1, (OTHER, 1)))
    give(client, message(2))
    (fetch,) = fetches(client)
    give(client, f.Error(fetch.req, f.Nack.UNAVAILABLE))
    run_until(client, 15.1)
    assert [(event.message.seq, event.incomplete) for event in told(client, "Show")] == [(1, True), (2, False)]


def test_an_answer_that_waited_until_its_question_came_is_not_marked():
    client = ready(hold_s=15.0)
    give(client, message(1, (OTHER, 1)))
    give(client, message(1, conv=OTHER), 10.0)
    shows = [(event.message.conv, event.incomplete) for event in told(client, "Show")]
    assert shows == [(OTHER, False), (CONV, False)]


def test_while_the_service_is_silent_time_is_slow():
    client = ready(hold_s=1.0, beat_timeout_s=1000.0)
    give(client, message(1, (OTHER, 1)))
    for tenth in range(1, 39):
        client.tick(tenth / 10)
        assert shown(client) == []
    for tenth in range(39, 42):
        client.tick(tenth / 10)
    assert shown(client) == [(CONV, 1)]


def test_a_program_that_slept_has_not_waited():
    client = ready(hold_s=15.0)
    give(client, message(1, (OTHER, 1)))
    client.tick(600.0)
    assert shown(client) == []
    client.disconnected(600.0)
    online(client, 600.0)
    for fetch in fetches(client):
        give(client, f.Error(fetch.req, f.Nack.UNAVAILABLE), 600.0)
    run_until(client, 614.0)
    assert shown(client) == []
    run_until(client, 616.0)
    assert shown(client) == [(CONV, 1)]


def test_offline_nothing_is_shown_for_want_of_patience_but_connections_are_counted():
    client = ready(hold_s=15.0, hold_connections=2)
    give(client, message(1, (OTHER, 1)))
    client.disconnected(1.0)
    client.tick(500.0)
    online(client, 500.0)
    assert shown(client) == []
    client.disconnected(501.0)
    online(client, 502.0)
    client.tick(502.0)
    assert shown(client) == [(CONV, 1)]


def test_what_is_held_back_is_bounded():
    client = ready(max_held=3)
    for seq in range(1, 5):
        give(client, message(seq, *([(OTHER, 1)] if seq == 1 else [])))
    assert shown(client) == [(CONV, seq) for seq in range(1, 5)]


def test_a_circle_of_lies_ends():
    client = ready(hold_s=5.0)
    give(client, message(1, (OTHER, 1)))
    give(client, message(1, (CONV, 1), conv=OTHER))
    give(client, message(2, (CONV, 9), conv=OTHER))
    run_until(client, 30.0)
    assert sorted(shown(client)) == [(CONV, 1), (OTHER, 1), (OTHER, 2)]


def names(client: Client, conv: int = CONV, now: float = 0.0) -> set[tuple[int, int, int]]:
    return {tuple(one) for one in client.dependencies(conv, now)}


def acked(client: Client, seq: int, conv: int = CONV, now: float = 0.0) -> None:
    """Send something there, made when it leaves, and have it acknowledged."""
    number = client.submit(conv, lambda at: pack(client.dependencies(conv, at)) or NOTHING, now)
    give(client, f.Ack(conv, number, seq), now)
    client.events()


def test_a_message_names_what_was_shown_since_the_last_one_that_has_a_number():
    client = ready()
    give(client, message(1, conv=OTHER))
    assert names(client) == {(OTHER, 1, 0)}
    number = client.submit(CONV, lambda at: pack(client.dependencies(CONV, at)), 0.0)
    assert [unpack(frame.body) for frame in sent(client) if isinstance(frame, f.Send)] == [((OTHER, 1, 0),)]
    give(client, f.Refused(CONV, number, f.Nack.STALE))
    assert names(client) == {(OTHER, 1, 0)}, "the one that named it is not there"
    acked(client, 1)
    assert names(client) == set()
    assert names(client, OTHER) == {(CONV, 1, 0)}, "its own messages are shown too"
    give(client, message(2, conv=OTHER))
    assert names(client) == {(OTHER, 2, 0)}


def test_a_body_is_made_when_its_turn_comes():
    client = ready()
    made = []

    def compose(now: float) -> bytes:
        made.append(names(client, now=now))
        return NOTHING

    first = client.submit(CONV, NOTHING, 0.0)
    client.submit(CONV, compose, 0.0)
    give(client, message(1, conv=OTHER))
    assert made == []
    give(client, f.Ack(CONV, first, 1))
    assert made == [{(OTHER, 1, 0)}]
    client.tick(client.next_wakeup())
    assert len(made) == 1, "a repetition is the same message"


def test_who_joins_is_told_everything_again_and_where_people_join_what_is_recent():
    fixed, growing = ready(), ready(Owner(grows=(CONV,)))
    for client in (fixed, growing):
        give(client, message(1, conv=OTHER))
        acked(client, 1)
    assert names(fixed) == set()
    assert names(growing, now=599.0) == {(OTHER, 1, 0)}
    assert names(growing, now=601.0) == set()
    give(growing, f.Message(CONV, 2, f.Flag.MEMBER_ADD, 5, 0, 0, b""), 601.0)
    assert names(growing, now=602.0) == {(OTHER, 1, 0)}


def test_only_what_others_may_share_is_named_and_the_latest_of_too_many():
    client = ready(Owner(member_of=range(100, 300), shared=range(200, 300)))
    for conv in range(100, 300):
        give(client, message(1, conv=conv))
    found = [one.conv for one in client.dependencies(CONV, 0.0)]
    assert found == list(range(299, 299 - MAX_DEPENDENCIES, -1))


def test_a_conversation_is_changed_for_a_minute_if_a_reader_may_not_know_it():
    client = ready(Owner(member_of=(CONV, OTHER)))
    give(client, message(1, conv=FOREIGN))
    give(client, message(1, conv=OTHER))
    assert names(client) == {(FOREIGN, 1, CHANGED), (OTHER, 1, 0)}
    give(client, f.Message(OTHER, 2, f.Flag.MEMBER_ADD, SOMEBODY, 0, 0, b""), 50.0)
    assert names(client, now=59.0) == {(FOREIGN, 1, CHANGED), (OTHER, 1, 0)}, "who was added does not read this"
    give(client, f.Message(OTHER, 3, f.Flag.MEMBER_ADD, 5, 0, 0, b""), 50.0)
    assert names(client, now=61.0) == {(FOREIGN, 1, 0), (OTHER, 1, CHANGED)}
    assert names(client, now=111.0) == {(FOREIGN, 1, 0), (OTHER, 1, 0)}


@given(st.lists(st.tuples(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 48) - 1), st.integers(0, 0xFFFF))))
def test_dependencies_are_entries(items):
    dependencies = tuple(Dependency(*item) for item in items)
    packed = pack(dependencies)
    assert unpack(packed) == dependencies
    assert b"".join(f.encode(f.Notify((f.Entry(*item),)))[1:] for item in items) == packed
