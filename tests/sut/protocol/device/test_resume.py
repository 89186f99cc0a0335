"""A client that goes on where an earlier run of the program ended: cursors, and what was not settled."""

import random

from sut.protocol import frames as f
from sut.protocol.device.client import Client, ClientSettings
from sut.protocol.signals import Read
from tests.sut.protocol.device.client_kit import CONV, ME, give, make, online, sent, theirs, told
from tests.sut.protocol.device.test_signals import pass_time


def resumed() -> Client:
    client = Client(user=ME, device=ME, rng=random.Random(1), settings=ClientSettings(), next_client_seq=9)
    client.resume({CONV: 4, 10: 2}, [(CONV, 6, b"six"), (CONV, 8, b"eight"), (10, 7, b"seven")], 0.0)
    return client


def welcomed_frames(client: Client) -> list[f.ClientFrame]:
    client.connected(0.0)
    give(client, f.Welcome(ME, ME, 1, 30_000, f.MAX_BODY))
    return sent(client)


def test_it_asks_from_its_cursors_and_sends_what_was_unsettled_under_the_same_client_seq():
    client = resumed()
    frames = welcomed_frames(client)
    (sync,) = (frame for frame in frames if isinstance(frame, f.Sync))
    assert sync.cursors == ((CONV, 4), (10, 2))
    assert [frame for frame in frames if isinstance(frame, f.Send)] == [
        f.Send(CONV, 6, b"six"),
        f.Send(10, 7, b"seven"),
    ]
    give(client, f.Ack(CONV, 6, 5))
    assert f.Send(CONV, 8, b"eight") in sent(client), "one at a time in a conversation"


def test_a_new_message_comes_after_all_that_was_taken_before():
    client = resumed()
    assert client.submit(11, b"new", 0.0) == 9


def test_what_was_shown_by_the_earlier_run_is_not_shown_again():
    client = resumed()
    welcomed_frames(client)
    for seq in (3, 4, 5):
        give(client, theirs(seq))
    assert [event.message.seq for event in told(client, "Show")] == [5]
    assert client.cursors[CONV] == 5


def test_what_an_earlier_run_had_shown_and_read_is_said_after_the_first_sync():
    first = make()
    online(first)
    give(first, theirs(1), 1.0)
    first.mark_read(CONV, 1, 1.2)
    assert sent(first) == [], "it ends before its receipts are due"
    second = make()
    second.resume({CONV: 1}, [], 0.0, read={CONV: 1})
    online(second)
    assert pass_time(second, 0.0, 3.0) == [f.Recv(CONV, 1), Read(CONV, 1)]
    said = pass_time(second, 3.0, 3600.0)
    assert not [frame for frame in said if isinstance(frame, f.Recv | Read)], "once is enough"


def test_what_is_owed_of_many_conversations_is_said_the_newest_first_and_not_all_at_once():
    client = make(max_restated=2)
    client.resume(dict.fromkeys((1, 2, 3, 4, 5), 3), [], 0.0, read={4: 9})
    online(client)
    said = [frame for frame in pass_time(client, 0.0, 20.0) if isinstance(frame, f.Recv | Read)]
    assert said == [f.Recv(5, 3), f.Recv(4, 3), Read(4, 3), f.Recv(3, 3), f.Recv(2, 3), f.Recv(1, 3)]
