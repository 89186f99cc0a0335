"""Heartbeats that are sent for devices at rest."""

import math

from load.drive.lean.rhythm import BEAT, Rhythm
from sut.protocol.frames import Beat, Heartbeat, decode_client, encode
from sut.protocol.websocket import FrameReader, binary

GRID_S = 0.001


def rhythm_of(rows: int) -> Rhythm:
    return Rhythm(rows, timeout_s=5.0, grid_s=GRID_S)


def test_a_frame_is_a_heartbeat_as_a_gateway_reads_it() -> None:
    (message,) = FrameReader().feed(rhythm_of(1).frame())
    assert decode_client(message.payload) == Heartbeat()
    assert binary(encode(Beat(0))) == BEAT


def test_beats_go_on_until_the_answer_that_makes_a_sync_due() -> None:
    rhythm = rhythm_of(2)
    assert rhythm.next_s == math.inf
    assert not rhythm.heard(0, 1.0), "it never rested"
    rhythm.rest(0, 10.0, 30.0, 2)
    assert 10.0 <= rhythm.next_s < 10.0 + GRID_S
    assert rhythm.due(9.9) == []
    assert rhythm.due(10.1) == [0]
    rhythm.sent([0], 10.1)
    assert rhythm.awaits(0)
    assert rhythm.next_s == 15.1
    assert rhythm.heard(0, 10.2)
    assert rhythm.overdue(15.1) == []
    assert rhythm.due(40.1 + GRID_S) == [0]
    rhythm.sent([0], 40.1)
    assert not rhythm.heard(0, 40.2), "the answer to the last one belongs to the client"
    assert rhythm.due(1000.0) == []
    assert rhythm.wake(0) == (2, 40.1, None)
    assert rhythm.wake(0) is None


def test_an_answer_that_does_not_come_is_noticed_in_time_and_once() -> None:
    rhythm = rhythm_of(3)
    for row in range(3):
        rhythm.rest(row, 10.0, 30.0, 9)
    assert sorted(rhythm.due(10.1)) == [0, 1, 2]
    rhythm.sent([0, 1, 2], 10.1)
    rhythm.heard(1, 10.2)
    rhythm.wake(2)
    assert rhythm.overdue(15.0) == []
    assert rhythm.overdue(15.1) == [0]
    assert rhythm.overdue(99.0) == []


def test_a_device_that_wakes_beats_for_itself() -> None:
    rhythm = rhythm_of(1)
    rhythm.rest(0, 10.0, 30.0, 9)
    assert rhythm.wake(0) is None
    assert rhythm.due(99.0) == []
    rhythm.rest(0, 110.0, 30.0, 0)
    assert rhythm.due(999.0) == []


def test_heartbeats_due_within_a_grid_leave_together() -> None:
    rhythm = Rhythm(100, timeout_s=5.0, grid_s=0.5)
    for row in range(100):
        rhythm.rest(row, 10.0 + row / 100, 30.0, 9)
    moments = set()
    found = []
    for at in range(1000, 1200):
        if rows := rhythm.due(at / 100):
            moments.add(at)
            found += rows
            assert all(0 <= at / 100 - (10.0 + row / 100) <= 0.52 for row in rows)
    assert sorted(found) == list(range(100))
    assert len(moments) <= 3
