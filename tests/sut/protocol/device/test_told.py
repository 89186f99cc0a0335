"""What a client tells of its way to a message and to an answer: notifications that are news, and repeated sends."""

import math

from sut.protocol import frames as f
from tests.sut.protocol.device.client_kit import (
    CONV,
    connected,
    give,
    online,
    sent,
    theirs,
    told,
)


def test_a_notification_is_told_once_and_only_while_it_is_news():
    client = connected()
    give(client, theirs(1))
    give(client, f.Notify((f.Entry(CONV, 1, 0),)))
    assert not told(client, "Notified")
    give(client, f.Notify((f.Entry(CONV, 3, 0), f.Entry(CONV + 1, 2, 0))))
    assert [(e.conv, e.head) for e in told(client, "Notified")] == [(CONV, 3), (CONV + 1, 2)]


def test_what_a_sync_or_an_answer_says_is_no_notification():
    client = connected()
    give(client, f.Ack(CONV, 1, 5))
    assert sent(client), "the gap is known"
    assert not told(client, "Notified")


def test_each_transmission_after_the_first_is_told():
    client = connected()
    client.submit(CONV, b"mine", 0.0)
    assert [type(e).__name__ for e in client.events() if type(e).__name__.startswith("Sent")] == ["Sent"]
    for _ in range(3):
        client.frames()
        at = client.next_wakeup()
        assert at < math.inf
        while not any(isinstance(frame, f.Send) for frame in sent(client)):
            client.tick(at)
            at = client.next_wakeup()
        assert [e.client_seq for e in told(client, "SentAgain")] == [1]
    client.disconnected(at)
    online(client)
    assert [(e.conv, e.client_seq) for e in told(client, "SentAgain")] == [(CONV, 1)]
    give(client, f.Ack(CONV, 1, 1))
    assert not told(client, "SentAgain")
