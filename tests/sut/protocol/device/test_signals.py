"""A device's receipts, typing and presence: monotone whatever arrives, said seldom, forgotten in time."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.protocol import frames as f
from sut.protocol.device.client import Client
from sut.protocol.signals import PresenceNews, Read, Receipt, Receipts, Seen, Typing, Typist, Typists, Watch
from tests.sut.protocol.device.client_kit import (
    CONV,
    ME,
    connected,
    give,
    make,
    online,
    sent,
    theirs,
    told,
)

ANN, BOB = 2, 3


def receipts(client: Client, *entries: tuple[int, int, int]) -> None:
    """(seq, kind, by) each, in one frame."""
    give(client, Receipts(tuple(Receipt(CONV, seq, kind, by) for seq, kind, by in entries)))


def of_type(client: Client, kind: type) -> list:
    return [frame for frame in sent(client) if isinstance(frame, kind)]


def pass_time(client: Client, since: float, until: float) -> list[f.ClientFrame]:
    """Tick whenever the client wants it, from one time to another; what it said meanwhile. It is kept alive."""
    frames, at = [], since
    while (at := max(at, client.next_wakeup())) <= until:
        client.tick(at)
        said = sent(client)
        frames += said
        for frame in said:
            if isinstance(frame, f.Heartbeat):
                give(client, f.Beat(0), at)
            elif isinstance(frame, f.Sync):
                give(client, f.Synced(frame.req, 0, ()), at)
    return frames


def test_a_receipt_is_told_once_and_never_a_lower_one():
    client = connected()
    receipts(client, (4, 0, ANN))
    receipts(client, (3, 0, ANN), (4, 0, ANN), (2, 1, ANN), (1, 0, BOB), (5, 0, ANN))
    assert [event[:] for event in told(client, "Told")] == [
        (CONV, 4, 0, ANN), (CONV, 2, 1, ANN), (CONV, 1, 0, BOB), (CONV, 5, 0, ANN),
    ]  # fmt: skip


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1), st.sampled_from([ANN, BOB])), max_size=40), st.randoms()
)
def test_receipts_rise_however_they_are_mixed_and_repeated(words, rng):
    client = connected()
    mixed = words + rng.sample(words, len(words) // 2)
    rng.shuffle(mixed)
    highest: dict[tuple[int, int], int] = {}
    for place, word in enumerate(mixed):
        if place % 7 == 3:
            client.disconnected(0.0)
            online(client)
        receipts(client, word)
    for _, seq, kind, by in told(client, "Told"):
        assert seq > highest.get((by, kind), 0)
        highest[by, kind] = seq
    assert highest == {(by, kind): max(s for s, k, b in words if (b, k) == (by, kind)) for _, kind, by in words}


def test_more_receipts_than_it_remembers_are_not_told_rather_than_told_in_any_order():
    client = connected(max_signals=2)
    receipts(client, (4, 0, 11), (4, 0, 12), (4, 0, 13), (5, 0, 11))
    assert [(e.by, e.seq) for e in told(client, "Told")] == [(11, 4), (12, 4), (11, 5)]


def test_read_is_said_up_to_what_was_shown_and_seldom():
    client = connected()
    client.mark_read(CONV, 5, 0.0)
    assert not [frame for frame in pass_time(client, 0.0, 3.0) if isinstance(frame, Read)], "nothing was shown"
    for seq in (1, 2, 3):
        give(client, theirs(seq), 4.0)
    client.mark_read(CONV, 1, 4.0)
    client.mark_read(CONV, 9, 4.1)
    client.mark_read(CONV, 2, 4.2)
    said = pass_time(client, 4.2, 6.0)
    assert [frame for frame in said if isinstance(frame, Read)] == [Read(CONV, 3)]
    assert f.Recv(CONV, 3) in said


def test_what_was_said_is_said_again_with_the_next_sync_once():
    client = connected()
    give(client, theirs(1))
    client.mark_read(CONV, 1, 0.0)
    assert pass_time(client, 0.0, 2.0)[-2:] == [f.Recv(CONV, 1), Read(CONV, 1)]
    client.disconnected(2.0)
    online(client, 3.0)
    again = pass_time(client, 3.0, 6.0)
    assert f.Recv(CONV, 1) in again
    assert Read(CONV, 1) in again
    client.disconnected(6.0)
    online(client, 7.0)
    assert not [frame for frame in pass_time(client, 7.0, 10.0) if isinstance(frame, f.Recv | Read)]


def test_a_resync_has_it_said_again_too():
    client = connected()
    give(client, theirs(1))
    pass_time(client, 0.0, 2.0)
    give(client, f.Beat(f.BEAT_RESYNC), 2.0)
    assert f.Recv(CONV, 1) in pass_time(client, 2.0, 5.0)


def test_what_is_said_again_is_bounded_and_the_newest():
    client = connected(max_restated=3)
    for conv in range(10, 20):
        give(client, theirs(1)._replace(conv=conv), conv / 10)
    pass_time(client, 0.0, 5.0)
    give(client, f.Beat(f.BEAT_RESYNC), 5.0)
    assert [frame.conv for frame in pass_time(client, 5.0, 9.0) if isinstance(frame, f.Recv)] == [17, 18, 19]


def test_typing_is_said_at_most_every_three_seconds_and_a_message_ends_it():
    client = connected()
    for tenth in range(70):
        client.typing(CONV, tenth / 10)
    assert of_type(client, Typing) == [Typing(CONV, 1)] * 3
    client.submit(CONV, b"said", 7.0)
    client.typing(CONV, 7.1)
    assert of_type(client, Typing) == [Typing(CONV, 1)]
    client.stop_typing(CONV, 7.2)
    client.stop_typing(CONV, 7.3)
    assert of_type(client, Typing) == [Typing(CONV, 0)]


def test_nobody_types_offline():
    client = make()
    client.typing(CONV, 0.0)
    online(client)
    assert of_type(client, Typing) == []
    client.typing(CONV, 0.1)
    assert of_type(client, Typing) == [Typing(CONV, 1)]


def test_somebody_who_types_stops_by_word_by_message_and_by_time():
    def writing() -> list[tuple[int, bool]]:
        return [(event.user, event.active) for event in told(client, "Writing")]

    client = connected()
    give(client, Typists((Typist(CONV, ANN, 1), Typist(CONV, BOB, 1))), 0.0)
    give(client, Typists((Typist(CONV, ANN, 1),)), 4.0)
    assert writing() == [(ANN, True), (BOB, True)]
    pass_time(client, 4.0, 6.1)
    assert writing() == [(BOB, False)]
    give(client, theirs(1, user=ANN), 7.0)
    assert writing() == [(ANN, False)]
    give(client, Typists((Typist(CONV, BOB, 1),)), 8.0)
    give(client, Typists((Typist(CONV, BOB, 0), Typist(CONV, BOB, 0))), 8.1)
    assert writing() == [(BOB, True), (BOB, False)]
    give(client, Typists((Typist(CONV, BOB, 1),)), 9.0)
    client.disconnected(9.1)
    assert writing() == [(BOB, True), (BOB, False)]


def test_presence_is_told_of_those_watched_and_when_it_changes():
    client = connected()
    client.watch([ANN, BOB])
    assert of_type(client, Watch) == [Watch((ANN, BOB))]
    give(client, PresenceNews((Seen(ANN, 1, 0), Seen(BOB, 0, 55), Seen(77, 1, 0))))
    give(client, PresenceNews((Seen(ANN, 1, 0), Seen(BOB, 1, 0))))
    assert [event[:] for event in told(client, "Presence")] == [(ANN, True, 0), (BOB, False, 55), (BOB, True, 0)]
    client.watch([BOB])
    give(client, PresenceNews((Seen(ANN, 0, 9),)))
    assert [event[:] for event in client.events()] == [(ANN,)], "the picture of the one not watched any more ends"
    client.watch([BOB])
    assert of_type(client, Watch) == [Watch((BOB,))]


def test_a_new_connection_watches_again_and_knows_nothing():
    client = make()
    client.watch([ANN])
    assert sent(client) == []
    client.connected(0.0)
    give(client, f.Welcome(ME, ME, 1, 30_000, f.MAX_BODY))
    (sync,) = sent(client)
    give(client, f.Synced(sync.req, 0, ()))
    assert of_type(client, Watch) == [Watch((ANN,))], "once it is online"
    give(client, PresenceNews((Seen(ANN, 1, 0),)))
    client.events()
    client.disconnected(1.0)
    assert [event.user for event in told(client, "Unwatched")] == [ANN]
    online(client, 2.0)
    give(client, PresenceNews((Seen(ANN, 1, 0),)))
    assert [event.online for event in told(client, "Presence")] == [True]


def test_too_many_are_not_watched():
    client = make()
    with pytest.raises(ValueError, match="501"):
        client.watch(range(501))


def test_a_device_that_only_listens_keeps_nothing_of_all_this():
    client = connected()
    give(client, f.Notify(()))
    client.tick(random.random())
    assert client._signals is None
