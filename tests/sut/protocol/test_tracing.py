"""Which messages are traced: the same everywhere, about as many as asked for, and readable off a recipient's frame."""

from collections import Counter

import pytest

from sut.protocol.frames import Ack, Beat, Drain, Entry, Flag, Message, Notify, encode
from sut.protocol.tracing import announced, is_traced


@pytest.mark.parametrize("every", [1, 2, 16, 100])
def test_one_in_so_many_of_each_device_is_traced(every: int) -> None:
    for device in range(1, 50):
        assert sum(is_traced(device, seq, every) for seq in range(1, 20 * every + 1)) == 20


def test_devices_are_out_of_step() -> None:
    """So that those who write little are traced as often as those who write much."""
    first = Counter(is_traced(device, 1, 16) for device in range(1, 1601))
    assert first[True] == 100


@pytest.mark.parametrize("every", [0, -1])
def test_none_is_traced_when_off(every: int) -> None:
    assert not any(is_traced(device, seq, every) for device in range(40) for seq in range(40))


def test_what_a_frame_announces() -> None:
    place = (1 << 63) + 5, (1 << 48) - 1
    assert announced(encode(Notify((Entry(*place, 0),))), 16) == (*place, False)
    assert announced(encode(Notify((Entry(*place, Flag.MEMBER_ADD),))), 16) == (*place, False)
    for device in range(1, 20):
        for client_seq in range(1, 20):
            found = announced(encode(Message(*place, 0, 3, device, client_seq, b"body")), 16)
            assert found == ((*place, True) if is_traced(device, client_seq, 16) else None)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        encode(Ack(1, 2, 3)),
        encode(Beat(0)),
        encode(Drain(5)),
        encode(Notify(())),
        encode(Notify((Entry(1, 2, 0), Entry(3, 4, 0)))),
    ],
)
def test_other_frames_announce_nothing(frame: bytes) -> None:
    assert announced(frame, 1) is None
