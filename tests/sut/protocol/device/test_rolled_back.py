"""The service was put back to an older copy: a device notices, says so, and goes on with what the numbers mean now."""

from __future__ import annotations

from sut.protocol import frames as f
from sut.protocol.device.client import Client
from sut.protocol.signals import Receipt, Receipts
from tests.sut.protocol.device.client_kit import CONV, ME, give, make, sent, syncs, theirs, told

LOG, NEXT_LOG = b"five", b"six"


def resumed(**settings) -> Client:
    client = make(**settings)
    client.resume({CONV: 10}, [], 0.0)
    return client


def connect(client: Client, *, log: bytes = b"", now: float = 0.0) -> f.Sync:
    client.connected(now)
    give(client, f.Welcome(ME, ME, 1, 30_000, f.MAX_BODY, log), now)
    return syncs(client)[-1]


def fallen(client: Client, sync: f.Sync, head: int = 6, flags: int = 0) -> list:
    give(client, f.Synced(sync.req, flags, (f.Entry(CONV, head, 0),)), 0.2)
    return told(client, "RolledBack")


def test_a_head_below_the_cursor_is_said_and_new_messages_of_those_numbers_are_shown():
    client = resumed()
    (event,) = fallen(client, connect(client))
    assert event[:] == (CONV, 6, 10)
    assert client.cursors[CONV] == 6
    for seq in range(4, 9):
        give(client, theirs(seq, b"new"), 0.3)
    client.submit(CONV, b"mine", 0.5)
    (send,) = [frame for frame in sent(client) if isinstance(frame, f.Send)]
    give(client, f.Ack(CONV, send.client_seq, 9), 0.6)
    events = client.events()
    assert [event.message.seq for event in events if type(event).__name__ == "Show"] == [7, 8, 9]
    assert not [event for event in events if type(event).__name__ == "Violation"]


def test_an_answer_that_may_be_old_says_nothing():
    client = resumed()
    assert fallen(client, connect(client), flags=f.SYNCED_STALE) == []
    assert client.cursors[CONV] == 10


def test_an_answer_to_a_question_with_a_lower_cursor_says_nothing():
    """What came while the SYNC was under way is not missing from an answer that was made before."""
    client = resumed()
    sync = connect(client)
    for seq in (11, 12):
        give(client, theirs(seq), 0.1)
    assert fallen(client, sync, head=11) == []
    assert client.cursors[CONV] == 12


def test_on_the_log_that_was_known_a_second_answer_has_to_say_so_too():
    client = resumed()
    client.log = LOG
    assert fallen(client, connect(client, log=LOG)) == []
    client.tick(0.3)
    (again,) = syncs(client)
    assert len(fallen(client, again)) == 1


def test_on_another_log_the_first_answer_counts():
    client = resumed()
    client.log = LOG
    sync = connect(client, log=NEXT_LOG)
    assert [event.log for event in told(client, "LogChanged")] == [NEXT_LOG]
    assert len(fallen(client, sync)) == 1
    assert client.log == NEXT_LOG


def test_receipts_of_the_lost_numbers_do_not_hide_new_ones():
    client = resumed()
    sync = connect(client)
    give(client, Receipts((Receipt(CONV, 10, 1, 2),)), 0.1)
    fallen(client, sync)
    give(client, Receipts((Receipt(CONV, 7, 1, 2),)), 0.3)
    assert [event.seq for event in told(client, "Told")] == [7]


def test_the_swarm_reports_it_and_keeps_its_cursor():
    client = resumed(rewind=False)
    assert fallen(client, connect(client)) == []
    assert client.cursors[CONV] == 10


def test_old_clients_get_the_welcome_that_they_know():
    plain = f.encode(f.Welcome(1, 2, 3, 4, 5))
    assert len(plain) == 33 and f.decode_server(plain) == f.Welcome(1, 2, 3, 4, 5)
    assert f.decode_server(f.encode(f.Welcome(1, 2, 3, 4, 5, LOG))) == f.Welcome(1, 2, 3, 4, 5, LOG)
