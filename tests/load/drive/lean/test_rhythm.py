"""Heartbeats that are sent for devices at rest."""

import math

from load.drive.lean.rhythm import BEAT, Rhythm
from sut.protocol.frames import Beat, Heartbeat, decode_client, encode
from sut.protocol.websocket import FrameReader, binary


def test_a_frame_is_a_heartbeat_as_a_gateway_reads_it() -> None:
    (message,) = FrameReader().feed(Rhythm(1, timeout_s=5.0).frame())
    assert decode_client(message.payload) == Heartbeat()
    assert binary(encode(Beat(0))) == BEAT


def test_beats_go_on_until_something_else_is_due_or_a_sync_is() -> None:
    rhythm = Rhythm(2, timeout_s=5.0)
    assert not rhythm.is_due(0, 100.0), "it never rested"
    rhythm.rest(0, 10.0, 30.0, 2, other_at=math.inf)
    assert not rhythm.is_due(0, 9.9)
    assert rhythm.is_due(0, 10.0)
    assert rhythm.sent(0, 10.1) == 15.1
    assert rhythm.awaits(0)
    assert not rhythm.is_due(0, 41.0), "the last one has no answer"
    assert rhythm.heard(0, 10.2) == 40.1
    assert rhythm.is_due(0, 40.1)
    rhythm.sent(0, 40.1)
    rhythm.heard(0, 40.2)
    assert not rhythm.is_due(0, 70.2), "the third one belongs to the client"
    assert rhythm.wake(0) == (2, 40.1, 40.2)
    assert rhythm.wake(0) is None


def test_a_deed_of_the_person_comes_first() -> None:
    rhythm = Rhythm(1, timeout_s=5.0)
    rhythm.rest(0, 10.0, 30.0, 9, other_at=12.0)
    assert rhythm.sent(0, 10.0) == 12.0
    assert rhythm.wake(0) == (1, 10.0, None)
    rhythm.rest(0, 10.0, 30.0, 9, other_at=math.inf)
    rhythm.also(0, 9.0)
    assert not rhythm.is_due(0, 10.0)
