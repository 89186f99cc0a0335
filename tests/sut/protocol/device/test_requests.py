"""How the client asks and repeats: FETCH, SEND given up, receipts, bounds, and what it does when a gateway drains."""

from __future__ import annotations

import math
import random
from itertools import pairwise

from sut.protocol import frames as f
from sut.protocol.device.client import Client, ClientSettings
from tests.sut.protocol.device.client_kit import (
    CONV,
    ME,
    connected,
    fetches,
    give,
    make,
    notified,
    online,
    sent,
    theirs,
    told,
    welcomed,
)


def test_an_unanswered_fetch_is_repeated_with_a_new_req_and_a_late_page_still_counts():
    client = connected()
    give(client, f.Notify((f.Entry(CONV, 2, 0),)))
    (first,) = fetches(client)
    now = 0.0
    while True:
        now = client.next_wakeup()
        client.tick(now)
        frames = sent(client)
        if f.Heartbeat() in frames:  # it asks first whether the page is on its way
            give(client, f.Beat(0), now)
        if again := [frame for frame in frames if isinstance(frame, f.Fetch)]:
            break
    assert 2.0 <= now < 2.6
    assert again[0].req != first.req
    give(client, f.Page(first.req, CONV, 2, 2, (theirs(2),)), now)
    assert [e.message.seq for e in told(client, "Show")] == [2], "it covers 1, which is not for this user"
    assert client.idle()


def test_a_failed_fetch_rests_before_it_is_repeated():
    client = connected()
    fetch = notified(client, 2)
    give(client, f.Error(fetch.req, f.Nack.UNAVAILABLE))
    assert not fetches(client)
    client.tick(0.2)
    assert [again.after for again in fetches(client)] == [0]


def test_flights_of_the_last_connection_do_not_hold_up_the_next():
    client = connected(max_fetches=2)
    give(client, f.Notify(tuple(f.Entry(conv, 1, 0) for conv in range(1, 6))))
    old = fetches(client)
    client.disconnected(0.1)
    client.connected(0.2)
    give(client, f.Welcome(ME, ME, 2, 30_000, f.MAX_BODY), 0.2)
    new = fetches(client)
    assert len(old) == len(new) == 2
    assert not {fetch.req for fetch in old} & {fetch.req for fetch in new}


def test_a_page_tells_of_a_higher_head():
    client = connected()
    fetch = notified(client, 1)
    give(client, f.Page(fetch.req, CONV, 5, 1, (theirs(1),)))
    assert [again.after for again in fetches(client)] == [1]


def test_one_fetch_a_conversation_even_when_the_gap_closed_meanwhile():
    client = connected()
    fetch = notified(client, 1)
    give(client, theirs(1))
    assert client.idle()
    give(client, f.Notify((f.Entry(CONV, 2, 0),)))
    assert not fetches(client)
    give(client, f.Page(fetch.req, CONV, 2, 2, (theirs(1), theirs(2))))
    assert [e.message.seq for e in told(client, "Show")] == [1, 2]


def test_a_repetition_asks_from_the_cursor_of_now_and_an_empty_answer_to_it_is_no_progress():
    client = connected()
    give(client, f.Notify((f.Entry(CONV, 5, 0),)))
    sent(client)
    give(client, theirs(1), 1.0)
    now = 2.0
    client.tick(now)
    while not (again := fetches(client)):
        now = client.next_wakeup()
        client.tick(now)
    assert again[0].after == 1
    give(client, f.Page(again[0].req, CONV, 5, 1, ()), now)
    assert not fetches(client)


def test_few_fetches_are_in_flight_and_all_conversations_get_their_turn():
    client = connected(max_fetches=8, page_limit=1)
    give(client, f.Notify(tuple(f.Entry(conv, 2, 0) for conv in range(1, 31))))
    flights = fetches(client)
    assert len(flights) == 8
    served = []
    while flights:
        fetch = flights.pop(0)
        served.append(fetch.conv)
        seq = fetch.after + 1
        give(client, f.Page(fetch.req, fetch.conv, 2, seq, (theirs(seq)._replace(conv=fetch.conv),)))
        flights += fetches(client)
        assert len(flights) <= 8
    assert served == [*range(1, 31), *range(1, 31)], "one with more to get goes to the end of the line"
    assert client.idle()


def test_news_shortens_a_long_rest():
    client = connected(retry_base_s=0.1, retry_max_s=1000.0)
    give(client, f.Notify((f.Entry(CONV, 5, 0),)))
    now = 0.0
    for _ in range(12):  # the store answers and has nothing yet: the rests grow
        for fetch in fetches(client):
            give(client, f.Page(fetch.req, CONV, 5, 0, ()), now)
        now = client.next_wakeup()
        give(client, f.Beat(0), now)
        client.tick(now)
    for fetch in fetches(client):
        give(client, f.Page(fetch.req, CONV, 5, 0, ()), now)
    give(client, f.Notify((f.Entry(CONV, 6, 0),)), now)
    client.tick(now + 0.1)
    assert len(fetches(client)) == 1


def test_a_certain_gap_is_asked_for_for_ever():
    client = connected()
    give(client, theirs(3))  # it is here, so 1 and 2 must be somewhere
    now, asked, found = 0.0, 0, False
    while not client.idle():
        for frame in sent(client):
            if isinstance(frame, f.Fetch):
                asked += 1
                found = now > 120.0
                page = (
                    f.Page(frame.req, CONV, 3, 2, (theirs(1), theirs(2)))
                    if found
                    else f.Page(frame.req, CONV, 0, 0, ())
                )
                give(client, page, now)
            elif isinstance(frame, f.Sync):
                give(client, f.Synced(frame.req, 0, ()), now)
            elif isinstance(frame, f.Heartbeat):
                give(client, f.Beat(0), now)
        now = client.next_wakeup()
        client.tick(now)
        assert now < 130.0
    assert found
    assert 120 / 5 < asked < 150, "it rests up to 5 s between two questions"
    assert [e.message.seq for e in told(client, "Show")] == [1, 2, 3]


def test_given_up_lets_the_next_go_and_a_late_ack_only_tells_of_a_number():
    client = connected(give_up_s=10.0)
    client.submit(CONV, b"a", 0.0)
    client.submit(CONV, b"b", 0.0)
    sent(client)
    client.tick(10.0)
    assert [s.client_seq for s in sent(client) if isinstance(s, f.Send)][-1] == 2
    assert [e.client_seq for e in told(client, "GaveUp")] == [1]
    give(client, f.Ack(CONV, 1, 1), 10.0)
    assert not told(client, "Acked")
    assert [fetch.after for fetch in fetches(client)] == [0]
    give(client, f.Ack(CONV, 2, 2), 10.0)
    assert [e.client_seq for e in told(client, "Acked")] == [2]


def test_a_nack_for_what_is_settled_says_nothing():
    client = connected()
    client.submit(CONV, b"a", 0.0)
    client.submit(CONV, b"b", 0.0)
    give(client, f.Ack(CONV, 1, 1))
    give(client, f.Refused(CONV, 1, f.Nack.STALE))
    assert not told(client, "Nacked")


def test_the_clock_of_giving_up_starts_with_the_first_transmission_and_runs_offline():
    client = make(give_up_s=10.0)
    client.submit(CONV, b"a", 0.0)
    client.tick(100.0)
    assert not told(client, "GaveUp")
    online(client, 100.0)
    client.disconnected(101.0)
    assert client.next_wakeup() == 110.0
    client.tick(110.0)
    assert told(client, "GaveUp")
    assert client.next_wakeup() == math.inf


def test_a_draining_gateway_gets_repetitions_and_nothing_new():
    client = connected(ack_timeout_s=1.0, beat_timeout_s=5.0)
    client.submit(CONV, b"a", 0.0)
    sent(client)
    give(client, f.Drain(2_000), 0.5)
    client.submit(CONV + 1, b"new", 0.5)
    assert not sent(client)
    client.tick(1.5)
    assert [s.client_seq for s in sent(client) if isinstance(s, f.Send)] == [1]
    give(client, f.Ack(CONV, 1, 1), 1.6)
    client.tick(7.6)
    assert [e.reason for e in told(client, "Stalled")] == ["still open after DRAIN"]
    client.disconnected(7.6)
    online(client, 8.0)
    assert [e.client_seq for e in told(client, "Sent")] == [2], "it went out with the next WELCOME"


def test_a_welcome_alone_does_not_end_the_backing_off():
    def mean_wait(answer_sync: bool) -> float:
        waits = []
        for seed in range(100):
            client = Client(user=ME, device=ME, rng=random.Random(seed), settings=ClientSettings())
            for _ in range(6):
                sync = welcomed(client)
                if answer_sync:
                    give(client, f.Synced(sync.req, 0, ()))
                wait = client.disconnected(1.0)
            waits.append(wait)
        return sum(waits) / len(waits)

    assert mean_wait(answer_sync=True) < 0.2 < 1.0 < mean_wait(answer_sync=False)


def test_receipts_keep_their_pace_while_messages_keep_coming():
    client = connected()
    receipts = []
    for number in range(1, 101):
        now = number * 0.05
        give(client, theirs(number), now)
        client.tick(now)
        receipts += [(now, frame.seq) for frame in sent(client) if isinstance(frame, f.Recv)]
    assert 8 <= len(receipts) <= 10
    assert all(b[0] - a[0] >= 0.49 and b[1] > a[1] for a, b in pairwise(receipts))


def test_first_heartbeats_are_spread_over_the_interval():
    firsts = []
    for seed in range(200):
        client = Client(user=ME, device=ME, rng=random.Random(seed), settings=ClientSettings())
        online(client)
        firsts.append(client.next_wakeup())
    assert min(firsts) < 2.0
    assert max(firsts) > 28.0
    assert 12.0 < sum(firsts) / len(firsts) < 18.0
