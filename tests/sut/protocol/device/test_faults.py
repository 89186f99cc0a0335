"""A service that breaks its protocol: the client says so, hides nothing, keeps what it can, never fails."""

from __future__ import annotations

from sut.protocol import frames as f
from tests.sut.protocol.device.client_kit import (
    CONV,
    ME,
    connected,
    fetches,
    give,
    make,
    notified,
    sent,
    theirs,
    told,
)


def test_a_page_with_a_hole_is_shown_whole_though_the_buffer_is_full():
    client = connected(max_buffered=10)
    for seq in range(50, 70):
        give(client, theirs(seq))
    (fetch,) = fetches(client)
    give(client, f.Page(fetch.req, CONV, 69, 20, tuple(theirs(seq) for seq in range(5, 21))))
    assert [e.message.seq for e in told(client, "Show")] == list(range(5, 21))


def test_a_held_back_message_that_the_page_leaves_out_is_shown_and_reported():
    client = connected()
    give(client, theirs(3))
    (fetch,) = fetches(client)
    give(client, f.Page(fetch.req, CONV, 4, 4, (theirs(1), theirs(2), theirs(4))))
    events = client.events()
    assert [e.message.seq for e in events if type(e).__name__ == "Show"] == [1, 2, 3, 4]
    assert [e.text for e in events if type(e).__name__ == "Violation"] == [
        f"number 3 of conversation {CONV} arrived, and a PAGE leaves it out"
    ]


def test_two_messages_under_one_number_are_both_told_and_reported():
    client = connected()
    give(client, theirs(3, b"one"))
    give(client, theirs(3, b"two"))
    (fetch,) = fetches(client)
    give(client, f.Page(fetch.req, CONV, 3, 3, (theirs(1), theirs(2), theirs(3, b"three"))))
    events = client.events()
    assert {e.message.body for e in events if type(e).__name__ == "Wire"} == {b"hi", b"one", b"two", b"three"}
    assert [e.message.body for e in events if type(e).__name__ == "Show"] == [b"hi", b"hi", b"one"]
    assert len([e for e in events if type(e).__name__ == "Violation"]) == 2


def test_a_message_under_a_second_number_is_shown_twice_so_that_it_is_seen():
    client = connected()
    give(client, theirs(1))
    give(client, theirs(1)._replace(seq=2))
    assert [(e.message.seq, e.message.client_seq) for e in told(client, "Show")] == [(1, 1), (2, 1)]


def test_an_own_message_that_arrives_under_a_second_number_is_a_violation():
    client = connected()
    client.submit(CONV, b"mine", 0.0)
    give(client, f.Ack(CONV, 1, 1))
    give(client, f.Message(CONV, 2, 0, ME, ME, 1, b"mine"))
    events = client.events()
    assert [e.message.seq for e in events if type(e).__name__ == "Show"] == [1, 2]
    assert [type(e).__name__ for e in events].count("Violation") == 1


def test_an_ack_for_a_number_that_was_passed_over_is_a_violation():
    """What ack-before-durable looks like from a device: the number went to another message."""
    client = connected()
    client.submit(CONV, b"mine", 0.0)
    give(client, theirs(1))
    give(client, f.Ack(CONV, 1, 1))
    assert told(client, "Violation")


def test_an_ack_for_what_was_not_sent_yet_is_a_violation_and_settles_nothing():
    client = connected()
    client.submit(CONV, b"a", 0.0)
    client.submit(CONV, b"b", 0.0)
    give(client, f.Ack(CONV, 2, 1))
    events = client.events()
    assert "Violation" in [type(e).__name__ for e in events]
    assert "Acked" not in [type(e).__name__ for e in events]
    assert not client.idle()


def test_a_page_that_covers_more_than_there_is_covers_nothing():
    client = connected()
    fetch = notified(client, 3)
    give(client, f.Page(fetch.req, CONV, 3, 1 << 60, (theirs(1),)))
    assert told(client, "Violation")
    client.tick(0.2)
    assert [again.after for again in fetches(client)] == [1], "what it brought is used, and the rest asked for"


def test_a_page_out_of_order_covers_nothing_and_loses_nothing():
    client = connected()
    fetch = notified(client, 2)
    give(client, f.Page(fetch.req, CONV, 2, 2, (theirs(2), theirs(1), theirs(9))))
    events = client.events()
    assert [e.message.seq for e in events if type(e).__name__ == "Show"] == [1, 2]
    assert "Violation" in [type(e).__name__ for e in events]
    assert not client.idle(), "9 is here, so there is a gap"


def test_a_page_nobody_asked_for_brings_its_messages_and_covers_nothing():
    client = connected()
    give(client, f.Page(77, CONV, 5, 5, (theirs(1), theirs(4))))
    assert [e.message.seq for e in told(client, "Show")] == [1]
    assert [fetch.after for fetch in fetches(client)] == [1]


def test_a_page_nobody_asked_for_still_tells_of_a_head():
    client = connected()
    give(client, f.Page(77, CONV, 5, 5, ()))
    assert [fetch.after for fetch in fetches(client)] == [0]


def test_an_answer_to_another_question_covers_nothing():
    client = connected()
    fetch = notified(client, 5)
    give(client, f.Page(fetch.req + 1, CONV, 5, 5, (theirs(4),)))
    give(client, f.Page(fetch.req - 1, CONV, 5, 5, (theirs(5),)))
    assert not told(client, "Show")
    give(client, f.Page(fetch.req, CONV, 5, 1, (theirs(1),)))
    give(client, f.Page(fetch.req, CONV, 5, 5, ()))
    assert [e.message.seq for e in told(client, "Show")] == [1], "an answered question is answered once"


def test_unknown_flag_bits_are_ignored():
    client = connected()
    give(client, theirs(1, flags=8))
    assert [type(e).__name__ for e in client.events()[1:]] == ["Wire", "Show"]


def test_a_second_welcome_and_one_to_somebody_else_are_violations():
    client = connected()
    client.submit(CONV, b"a", 0.0)
    sent(client)
    give(client, f.Welcome(ME, ME, 2, 30_000, f.MAX_BODY))
    assert not sent(client)
    assert told(client, "Violation")
    client.disconnected(1.0)
    client.connected(2.0)
    give(client, f.Welcome(ME, ME + 1, 3, 30_000, f.MAX_BODY), 2.0)
    assert told(client, "Violation")


def test_synced_with_more_and_no_place_to_go_on_from_is_asked_again():
    client = make()
    client.connected(0.0)
    give(client, f.Welcome(ME, ME, 1, 30_000, f.MAX_BODY))
    (sync,) = sent(client)
    give(client, f.Synced(sync.req, f.SYNCED_MORE, ()))
    assert told(client, "Violation")
    client.tick(1.5)
    assert [type(frame).__name__ for frame in sent(client)].count("Sync") == 1


def test_a_flood_of_conversations_is_cut_off_and_reported():
    client = connected(max_conversations=100)
    give(client, f.Notify(tuple(f.Entry(conv, 1, 0) for conv in range(1, 200))))
    assert len(client._inbox.cursors) == 100
    assert len(told(client, "Violation")) == 99


def test_number_zero_is_a_violation():
    client = connected()
    give(client, theirs(0))
    assert [type(e).__name__ for e in client.events()[1:]] == ["Wire", "Violation"]
