"""SYNC: when it is asked, how it is paged, what its answers decide."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sut.protocol import frames as f
from tests.sut.protocol.device.client_kit import (
    CONV,
    connected,
    give,
    make,
    sent,
    syncs,
    theirs,
    told,
    welcomed,
)


def test_a_number_one_may_not_read_counts_as_a_gap_until_a_sure_sync_says_otherwise():
    client = connected()
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


def test_an_unsure_sync_does_not_settle_a_doubt():
    client = connected()
    give(client, f.Notify((f.Entry(CONV, 1, 0),)))
    now, answered = 0.0, False
    while not answered:
        for frame in sent(client):
            if isinstance(frame, f.Fetch):
                give(client, f.Page(frame.req, CONV, 0, 0, ()), now)
            elif isinstance(frame, f.Sync):
                give(client, f.Synced(frame.req, f.SYNCED_STALE, ()), now)
                answered = True
        now = client.next_wakeup()
        client.tick(now)
    client.disconnected(now)
    assert not client.idle(), "the gap is remembered"


def test_a_notification_during_the_sync_that_settles_a_doubt_keeps_the_gap():
    client = connected()
    give(client, f.Notify((f.Entry(CONV, 1, 0),)))
    now, asked = 0.0, None
    while asked is None:
        for frame in sent(client):
            if isinstance(frame, f.Fetch):
                give(client, f.Page(frame.req, CONV, 0, 0, ()), now)
            elif isinstance(frame, f.Sync):
                asked = frame
        now = client.next_wakeup()
        client.tick(now)
    give(client, f.Notify((f.Entry(CONV, 1, 0),)), now)
    give(client, f.Synced(asked.req, 0, ()), now)
    assert not client.idle(), "the answer may be older than the notification"


@pytest.mark.parametrize("ahead", [set(), {1}, {1500, 2499}, set(range(1, 2501)), {9999}])
def test_a_device_with_thousands_of_conversations_pages_its_sync(ahead):
    """Against the documented service: what is not given counts as 0, at most 1000 entries, MORE when cut."""
    client = connected(max_fetches=8)
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
    client = connected(sync_every_beats=3)
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


def test_while_answers_stay_unsure_it_is_asked_later_each_time_up_to_a_bound():
    client = connected()
    give(client, f.Beat(f.BEAT_RESYNC))
    now, asked_at = 0.0, []
    while now < 120.0:
        for frame in sent(client):
            if isinstance(frame, f.Sync):
                asked_at.append(now)
                give(client, f.Synced(frame.req, f.SYNCED_STALE if len(asked_at) < 8 else 0, ()), now)
            elif isinstance(frame, f.Heartbeat):
                give(client, f.Beat(0), now)
        if len(asked_at) == 8:
            break
        now = client.next_wakeup()
        client.tick(now)
    waits = [later - earlier for earlier, later in pairwise(asked_at)]
    bounds = [(0.5, 1.5), (1.0, 3.0), (2.0, 6.0), *[(4.0, 12.0)] * 4]
    assert all(low <= wait <= high for wait, (low, high) in zip(waits, bounds, strict=True)), waits
