"""How the client asks: FETCH, SYNC, repetitions, bounds, and what it does when a gateway drains."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from sut.protocol import frames as f
from sut.protocol.client import Client, ClientSettings
from tests.protocol.client_kit import CONV, ME, fetches, give, make, online, sent, theirs, told


def syncs(client: Client) -> list[f.Sync]:
    return [frame for frame in sent(client) if isinstance(frame, f.Sync)]


def welcomed(client: Client) -> f.Sync:
    client.connected(0.0)
    give(client, f.Welcome(ME, ME, 1, 30_000, f.MAX_BODY))
    (sync,) = syncs(client)
    return sync


def test_an_unanswered_fetch_is_repeated_with_a_new_req_and_a_late_page_still_counts():
    client = make()
    online(client)
    give(client, f.Notify((f.Entry(CONV, 2, 0),)))
    (first,) = fetches(client)
    now = 0.0
    while not (again := fetches(client)):
        now = client.next_wakeup()
        client.tick(now)
    assert 2.0 <= now < 2.5
    assert again[0].req != first.req
    give(client, f.Page(first.req, CONV, 2, 2, (theirs(2),)), now)
    assert [e.message.seq for e in told(client, "Show")] == [2], "it covers 1, which is not for this user"
    assert client.idle()


def test_a_failed_fetch_rests_before_it_is_repeated():
    client = make()
    online(client)
    give(client, f.Notify((f.Entry(CONV, 2, 0),)))
    (fetch,) = fetches(client)
    give(client, f.Error(fetch.req, f.Nack.UNAVAILABLE))
    assert not fetches(client)
    client.tick(0.2)
    assert [again.after for again in fetches(client)] == [0]


def test_few_fetches_are_in_flight_and_all_conversations_get_their_turn():
    client = make(max_fetches=8, page_limit=1)
    online(client)
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
    client = make(retry_base_s=0.1, retry_max_s=1000.0)
    online(client)
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


def test_a_number_one_may_not_read_counts_as_a_gap_until_a_sure_sync_says_otherwise():
    client = make()
    online(client)
    give(client, theirs(1))
    give(client, f.Notify((f.Entry(CONV, 2, f.Flag.MEMBER_REMOVE),)))
    now, answers = 0.0, iter([f.SYNCED_STALE, 0])
    seen = []
    while not client.idle() and now < 60.0:
        for frame in sent(client):
            if isinstance(frame, f.Fetch):
                give(client, f.Page(frame.req, CONV, 1, 1, ()), now)
            elif isinstance(frame, f.Sync):
                flags = next(answers)
                seen.append(flags)
                give(client, f.Synced(frame.req, flags, ()), now)
                assert client.idle() == (flags == 0)
        now = client.next_wakeup()
        client.tick(now)
    assert seen == [f.SYNCED_STALE, 0]
    assert not told(client, "Violation")


def test_a_certain_gap_is_asked_for_for_ever():
    client = make()
    online(client)
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


@pytest.mark.parametrize("ahead", [set(), {1}, {1500, 2499}, set(range(1, 2501)), {9999}])
def test_a_device_with_thousands_of_conversations_pages_its_sync(ahead):
    """Against the documented service: what is not given counts as 0, at most 1000 entries, MORE when cut."""
    client = make(max_fetches=8)
    online(client)
    for conv in range(1, 2501):
        give(client, theirs(1)._replace(conv=conv))
    sent(client)
    heads = {conv: 2 if conv in ahead else 1 for conv in (*range(1, 2501), 9999)}
    give(client, f.Beat(f.BEAT_RESYNC))
    asked, rounds, after = set(), 0, -1
    frames = sent(client)
    while frames:
        frame = frames.pop(0)
        if isinstance(frame, f.Sync):
            rounds += 1
            assert frame.after_conv > after, "each page goes on where the last ended"
            after = frame.after_conv
            assert list(frame.cursors) == [(conv, client._inbox.cursors[conv]) for conv, _ in frame.cursors]
            expected = [conv for conv in sorted(client._inbox.cursors) if conv > after][:1000]
            assert [conv for conv, _ in frame.cursors] == expected, "a contiguous range"
            seen = dict(frame.cursors)
            news = [f.Entry(conv, head, 0) for conv, head in heads.items() if conv > after and head > seen.get(conv, 0)]
            give(client, f.Synced(frame.req, f.SYNCED_MORE if len(news) > 1000 else 0, tuple(news[:1000])))
        elif isinstance(frame, f.Fetch):
            asked.add(frame.conv)
            rows = tuple(theirs(n)._replace(conv=frame.conv) for n in range(frame.after + 1, heads[frame.conv] + 1))
            give(client, f.Page(frame.req, frame.conv, heads[frame.conv], heads[frame.conv], rows))
        frames += sent(client)
    assert asked == ahead | {9999}
    assert rounds <= 4
    assert client.idle()


def test_an_unanswered_sync_is_repeated_and_the_late_answer_counts():
    client = make(fetch_timeout_s=2.0)
    sync = welcomed(client)
    client.tick(2.0)
    (again,) = syncs(client)
    assert again.req != sync.req
    give(client, f.Synced(sync.req, 0, ()), 2.1)
    assert told(client, "Online")
    give(client, f.Synced(again.req, 0, ()), 2.2)
    assert not told(client, "Online")


def test_a_failed_sync_is_repeated():
    client = make()
    sync = welcomed(client)
    give(client, f.Error(sync.req, f.Nack.UNAVAILABLE))
    client.tick(0.2)
    assert len(syncs(client)) == 1


def test_a_hint_during_a_sync_brings_another_after_it():
    client = make()
    sync = welcomed(client)
    give(client, f.Beat(f.BEAT_RESYNC))
    assert not syncs(client), "one chain at a time"
    give(client, f.Synced(sync.req, 0, ()))
    assert not client.idle()
    client.tick(0.0)
    assert len(syncs(client)) == 1


def test_a_sync_comes_every_few_beats():
    client = make(sync_every_beats=3)
    online(client)
    counts = []
    for _ in range(6):
        give(client, f.Beat(0))
        asked = syncs(client)
        counts.append(len(asked))
        for sync in asked:
            give(client, f.Synced(sync.req, 0, ()))
    assert counts == [0, 0, 1, 0, 0, 1]


def test_idle_waits_for_the_sync_but_not_while_offline():
    client = make()
    assert client.idle()
    sync = welcomed(client)
    assert not client.idle()
    give(client, f.Synced(sync.req, f.SYNCED_STALE, ()))
    assert not client.idle()
    client.disconnected(1.0)
    assert client.idle()


def test_given_up_lets_the_next_go_and_a_late_ack_only_tells_of_a_number():
    client = make(give_up_s=10.0)
    online(client)
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
    client = make()
    online(client)
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
    client = make(ack_timeout_s=1.0, beat_timeout_s=5.0)
    online(client)
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


def test_first_heartbeats_are_spread_over_the_interval():
    firsts = []
    for seed in range(200):
        client = Client(user=ME, device=ME, rng=random.Random(seed), settings=ClientSettings())
        online(client)
        firsts.append(client.next_wakeup())
    assert min(firsts) < 2.0
    assert max(firsts) > 28.0
    assert 12.0 < sum(firsts) / len(firsts) < 18.0


def test_receipts_keep_their_pace_while_messages_keep_coming():
    client = make()
    online(client)
    receipts = []
    for number in range(1, 101):
        now = number * 0.05
        give(client, theirs(number), now)
        client.tick(now)
        receipts += [(now, frame.seq) for frame in sent(client) if isinstance(frame, f.Recv)]
    assert 8 <= len(receipts) <= 10
    assert all(b[0] - a[0] >= 0.49 and b[1] > a[1] for a, b in pairwise(receipts))
