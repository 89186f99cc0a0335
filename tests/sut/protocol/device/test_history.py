"""Scrolling back: one answer to a question, repeated until it comes, and no cursor moves."""

from __future__ import annotations

import pytest

from sut.protocol import frames as f
from sut.protocol.device.client import HistoryBusy
from sut.protocol.device.events import HistoryFailed, HistoryPage, MemberChange, RoleChange
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
    syncs,
    theirs,
    told,
)


def asked(client) -> list[f.History]:
    return [frame for frame in sent(client) if isinstance(frame, f.History)]


def test_a_question_and_its_answer():
    client = connected()
    req = client.history(CONV, 40, 0.0, limit=20)
    assert asked(client) == [f.History(req, CONV, 40, 20)]
    give(client, f.Page(req, CONV, 90, 38, (theirs(38), theirs(39))))
    events = client.events()
    assert [e for e in events if type(e).__name__ != "Online"] == [HistoryPage(req, CONV, 38, (theirs(38), theirs(39)))]
    assert not fetches(client), "history moves no cursor and claims no gap"
    give(client, f.Page(req, CONV, 90, 38, (theirs(38), theirs(39))))
    assert client.events() == [], "one event, however often it is answered"


def test_an_unanswered_question_is_repeated_and_in_the_end_given_up():
    client = connected(max_history_attempts=3, beat_timeout_s=1000)
    req = client.history(CONV, 40, 0.0)
    times = len(asked(client))
    now = 0.0
    while not (failed := told(client, "HistoryFailed")):
        now = client.next_wakeup()
        client.tick(now)
        times += sum(frame.req == req for frame in asked(client))
    assert (times, failed) == (3, [HistoryFailed(req, CONV, 0)])


def test_a_question_survives_the_connection():
    client = make()
    req = client.history(CONV, 40, 0.0)
    assert asked(client) == []
    online(client, 1.0)
    client.disconnected(1.5)
    client.connected(2.0)
    give(client, f.Welcome(ME, ME, 2, 30_000, f.MAX_BODY), 2.0)
    assert [frame.req for frame in asked(client)] == [req]


def test_a_refusal_for_now_is_asked_again_and_one_for_good_is_told():
    client = connected()
    req = client.history(CONV, 40, 0.0)
    asked(client)
    give(client, f.Error(req, f.Nack.OVERLOADED))
    client.tick(1.0)
    assert [frame.req for frame in asked(client)] == [req]
    give(client, f.Error(req, f.Nack.FOREIGN))
    assert told(client, "HistoryFailed") == [HistoryFailed(req, CONV, f.Nack.FOREIGN)]


@pytest.mark.parametrize("numbers", [(39, 38), (38, 38), (37,), (40,)], ids=["falling", "twice", "below", "not before"])
def test_an_answer_that_cannot_be_is_reported(numbers):
    client = connected()
    req = client.history(CONV, 40, 0.0)
    give(client, f.Page(req, CONV, 90, 38, tuple(map(theirs, numbers))))
    events = client.events()
    assert [type(event).__name__ for event in events if type(event).__name__ != "Online"] == [
        "Violation",
        "HistoryFailed",
    ]


def test_questions_are_bounded_and_numbered_apart_from_fetches():
    client = connected(max_history=2)
    reqs = {client.history(CONV, before, 0.0) for before in (10, 20)}
    with pytest.raises(HistoryBusy):
        client.history(CONV, 30, 0.0)
    sent(client)
    fetch = notified(client, 2)
    assert fetch.req < 1 << 31 <= min(reqs)
    assert not syncs(client)


def test_changes_of_roles_are_told_at_their_place_and_not_shown():
    client = connected()
    give(client, f.Notify((f.Entry(CONV, 3, 4),)))
    (fetch,) = fetches(client)
    left = theirs(2, body=(5).to_bytes(8, "big"), flags=f.Flag.MEMBER_REMOVE)
    rows = (theirs(1, body=b"\x01", flags=f.Flag.MEMBER_ROLE), left, theirs(3))
    give(client, f.Page(fetch.req, CONV, 3, 3, rows))
    shown = [e for e in client.events() if type(e).__name__ in ("Show", "MemberChange", "RoleChange")]
    assert shown[:3] == [RoleChange(CONV, 1, 2, 1), MemberChange(CONV, 2, 2, False), RoleChange(CONV, 2, 5, 2)]
    assert shown[3].message.seq == 3
