"""The state machine's rules, one by one, with the frames in hand."""

from __future__ import annotations

import random

import pytest

from sut.protocol import frames as f
from sut.protocol.device.client import Client, ClientSettings, OutboxFull
from tests.sut.protocol.device.client_kit import (
    CONV,
    ME,
    connected,
    give,
    make,
    notified,
    sent,
    theirs,
    told,
)


def test_online_comes_after_the_sync_and_not_before():
    client = make()
    client.connected(0.0)
    give(client, f.Welcome(ME, ME, 7, 30_000, f.MAX_BODY))
    assert not told(client, "Online")
    (sync,) = sent(client)
    give(client, f.Synced(sync.req + 1, 0, ()))
    assert not told(client, "Online"), "an answer to another question"
    give(client, f.Synced(sync.req, 0, ()))
    assert [event.epoch for event in told(client, "Online")] == [7]


def test_one_send_a_conversation_is_on_its_way_and_the_next_follows_its_ack():
    client = connected()
    first, second = client.submit(CONV, b"a", 0.0), client.submit(CONV, b"b", 0.0)
    other = client.submit(CONV + 1, b"c", 0.0)
    assert [(s.conv, s.client_seq) for s in sent(client)] == [(CONV, first), (CONV + 1, other)]
    give(client, f.Ack(CONV, first, 1))
    assert [(s.conv, s.client_seq) for s in sent(client)] == [(CONV, second)]


def test_an_own_message_takes_its_place_by_its_ack():
    client = connected()
    client.submit(CONV, b"mine", 0.0)
    give(client, theirs(1))
    give(client, f.Ack(CONV, 1, 2))
    assert [e.message.body for e in told(client, "Show")] == [b"hi", b"mine"]


def test_a_message_above_a_gap_waits_and_the_gap_is_fetched():
    client = connected()
    give(client, theirs(1))
    give(client, theirs(4))
    (fetch,) = [frame for frame in sent(client) if isinstance(frame, f.Fetch)]
    assert fetch.after == 1
    give(client, f.Page(fetch.req, CONV, 4, 3, (theirs(2), theirs(3))))
    assert [e.message.seq for e in told(client, "Show")] == [1, 2, 3, 4]
    assert client.idle()


def test_numbers_that_a_page_covers_and_lacks_are_not_for_this_user():
    client = connected()
    fetch = notified(client, 9)
    give(client, f.Page(fetch.req, CONV, 9, 9, (theirs(5), theirs(9))))
    assert [e.message.seq for e in told(client, "Show")] == [5, 9]
    assert client.idle()


def test_membership_changes_take_their_number_and_are_not_shown():
    client = connected()
    fetch = notified(client, 2)
    give(client, f.Page(fetch.req, CONV, 2, 2, (theirs(1, b"", f.Flag.MEMBER_ADD, user=5), theirs(2))))
    events = client.events()
    kinds = [type(e).__name__ for e in events if type(e).__name__ != "Online"]
    assert kinds == ["Notified", "Wire", "MemberChange", "Show"]


def test_a_repeated_message_is_told_and_not_shown_again():
    client = connected()
    for _ in range(3):
        give(client, theirs(1))
    events = [type(e).__name__ for e in client.events()]
    assert (events.count("Wire"), events.count("Show")) == (3, 1)


def test_an_own_message_that_arrives_before_its_ack_counts_as_acknowledged():
    client = connected()
    client.submit(CONV, b"mine", 0.0)
    client.submit(CONV, b"next", 0.0)
    sent(client)
    give(client, f.Message(CONV, 1, 0, ME, ME, 1, b"mine"))
    assert [s.client_seq for s in sent(client)] == [2]
    give(client, f.Ack(CONV, 1, 1))
    events = client.events()
    assert [e.seq for e in events if type(e).__name__ == "Acked"] == [1]
    assert [e.message.body for e in events if type(e).__name__ == "Show"] == [b"mine"]


def test_a_second_number_for_an_acknowledged_message_is_a_violation():
    client = connected()
    client.submit(CONV, b"mine", 0.0)
    give(client, f.Ack(CONV, 1, 1))
    give(client, f.Ack(CONV, 1, 1))
    assert not told(client, "Violation")
    give(client, f.Ack(CONV, 1, 2))
    assert told(client, "Violation")


def test_a_definite_nack_drops_and_an_indefinite_one_repeats_under_the_same_key():
    client = connected()
    client.submit(CONV, b"a", 0.0)
    client.submit(CONV, b"b", 0.0)
    sent(client)
    give(client, f.Refused(CONV, 1, f.Nack.UNAVAILABLE))
    assert not sent(client)
    client.tick(1.0)
    assert [s.client_seq for s in sent(client)] == [1]
    give(client, f.Refused(CONV, 1, f.Nack.NOT_MEMBER), 1.0)
    assert [s.client_seq for s in sent(client)] == [2]
    assert [(e.client_seq, e.definite) for e in told(client, "Nacked")] == [(1, False), (1, True)]


def test_an_unanswered_send_is_repeated_and_in_the_end_given_up():
    client = connected(ack_timeout_s=2.0, give_up_s=10.0)
    client.submit(CONV, b"a", 0.0)
    sent(client)
    client.tick(2.1)
    assert [s.client_seq for s in sent(client) if isinstance(s, f.Send)] == [1]
    client.tick(10.1)
    assert [e.client_seq for e in told(client, "GaveUp")] == [1]
    assert client.idle()


def test_with_a_fixed_wait_a_send_is_repeated_for_ever_as_often_as_at_first():
    client = connected(repeat_fixed_s=0.5, beat_timeout_s=60.0)
    client.submit(CONV, b"a", 0.0)
    sent(client)
    for number in range(1, 20):
        client.tick(0.5 * number - 0.01)
        assert not sent(client)
        client.tick(0.5 * number)
        assert [s.client_seq for s in sent(client) if isinstance(s, f.Send)] == [1]
    give(client, f.Refused(CONV, 1, f.Nack.OVERLOADED), 9.6)
    client.tick(10.09)
    assert not sent(client)
    client.tick(10.1)
    assert [s.client_seq for s in sent(client) if isinstance(s, f.Send)] == [1]


def test_what_was_under_way_is_sent_again_on_the_next_connection():
    client = connected()
    client.submit(CONV, b"a", 0.0)
    sent(client)
    client.disconnected(1.0)
    client.connected(2.0)
    assert not sent(client), "nothing before WELCOME"
    give(client, f.Welcome(ME, ME, 2, 30_000, f.MAX_BODY), 2.0)
    assert [s.client_seq for s in sent(client) if isinstance(s, f.Send)] == [1]
    assert len(told(client, "Sent")) == 1


def test_what_was_not_sent_before_the_end_is_not_sent_on_the_next_connection():
    client = connected()
    give(client, f.Notify((f.Entry(CONV, 2, 0),)))
    client.disconnected(1.0)
    client.connected(2.0)
    assert client.frames() == []


def test_a_dead_connection_is_noticed_after_a_heartbeat_and_only_once():
    client = connected(beat_timeout_s=5.0)
    at = client.next_wakeup()
    assert at <= 30.0
    client.tick(at)
    assert any(isinstance(frame, f.Heartbeat) for frame in sent(client))
    client.tick(at + 4.9)
    assert not told(client, "Stalled")
    client.tick(at + 5.1)
    client.tick(at + 6.0)
    assert len(told(client, "Stalled")) == 1


def test_silence_after_a_send_brings_the_heartbeat_forward():
    client = connected(ack_timeout_s=1.0, beat_timeout_s=3.0)
    client.submit(CONV, b"a", 0.0)
    client.tick(2.1)
    assert any(isinstance(frame, f.Heartbeat) for frame in sent(client))
    client.tick(5.2)
    assert told(client, "Stalled")


def test_no_welcome_is_a_dead_connection():
    client = make(beat_timeout_s=3.0)
    client.connected(0.0)
    client.tick(3.1)
    assert told(client, "Stalled")


def test_a_hint_in_the_beat_brings_a_sync_with_the_cursors():
    client = connected()
    give(client, theirs(1))
    sent(client)
    give(client, f.Beat(0))
    assert not sent(client)
    give(client, f.Beat(f.BEAT_RESYNC))
    (sync,) = sent(client)
    assert sync.cursors == ((CONV, 1),)


def test_an_unsure_sync_is_asked_again_soon():
    client = make()
    client.connected(0.0)
    give(client, f.Welcome(ME, ME, 1, 30_000, f.MAX_BODY))
    (sync,) = sent(client)
    give(client, f.Synced(sync.req, f.SYNCED_STALE, ()))
    client.tick(1.6)
    assert any(isinstance(frame, f.Sync) for frame in sent(client))


def test_shown_is_reported_at_most_every_half_second_and_cumulatively():
    client = connected()
    for seq in range(1, 6):
        give(client, theirs(seq))
    client.tick(0.4)
    assert not sent(client)
    client.tick(0.6)
    assert sent(client) == [f.Recv(CONV, 5)]


def test_an_empty_page_below_the_known_head_is_not_asked_for_in_a_loop():
    client = connected()
    give(client, f.Notify((f.Entry(CONV, 5, 0),)))
    asked = 0
    now = 0.0
    for _ in range(200):
        for frame in sent(client):
            if isinstance(frame, f.Fetch):
                asked += 1
                give(client, f.Page(frame.req, CONV, 5, 0, ()), now)
        now += 0.05
        client.tick(now)
    assert asked < 30


def test_the_outbox_and_the_held_back_messages_are_bounded():
    client = connected(max_outbox=3, max_buffered=10)
    for _ in range(3):
        client.submit(CONV, b"x", 0.0)
    with pytest.raises(OutboxFull):
        client.submit(CONV, b"x", 0.0)
    for seq in range(2, 100):
        give(client, theirs(seq))
    assert sum(len(buffer) for buffer in client._inbox._buffers.values()) == 10


def test_drain_sets_the_wait_before_the_next_attempt():
    client = connected(reconnect_base_s=100.0, reconnect_cap_s=100.0)
    give(client, f.Drain(500))
    assert [e.base_ms for e in told(client, "Drained")] == [500]
    assert client.disconnected(1.0) <= 0.5
    waits = [client.disconnected(2.0) for _ in range(20)]
    assert max(waits) > 10.0, "it counts once"


def test_waits_grow_while_nothing_is_reached():
    waits = []
    for seed in range(200):
        client = Client(user=1, device=1, rng=random.Random(seed), settings=ClientSettings())
        waits.append([client.disconnected(0.0) for _ in range(8)])
    means = [sum(w[n] for w in waits) / len(waits) for n in range(8)]
    assert means[0] < 0.15
    assert means[3] > 4 * means[0]
    assert max(max(w) for w in waits) <= 5.0


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"\x82short", bytes([f.Type.SEND]) + bytes(20)])
def test_garbage_is_an_error_of_its_own_kind(garbage):
    client = make()
    with pytest.raises(f.FrameError):
        client.receive(garbage, 0.0)
