"""A short run of the fuzzer, and that it would find something. `python -m tests.security.fuzz` is the long one."""

import pytest

from sut.protocol import frames as protocol
from sut.protocol import websocket
from tests.security import fuzz, targets


@pytest.mark.parametrize("frames", [100_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_many_frames_find_nothing_and_leave_nothing(frames: int) -> None:
    outcome = fuzz.run(seed=11, frames=frames, first=0, step=1)
    assert outcome.frames >= frames
    assert set(outcome.inputs) == set(targets.TARGETS)
    assert outcome.rss_end - outcome.rss_warm < 4 << 20
    assert outcome.objects_end - outcome.objects_warm < 1000


def test_a_round_is_the_same_each_time() -> None:
    one, other = fuzz.Outcome(), fuzz.Outcome()
    fuzz.play(5, 3, one)
    fuzz.play(5, 3, other)
    assert one == other


def test_a_decoder_that_raises_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(Exception):
        pass

    monkeypatch.setattr(targets, "FrameError", Short)  # as if FrameError were not the documented error
    with pytest.raises(fuzz.Found, match=r"FrameError.*\n  input [0-9a-f]*\n  again: python -m tests"):
        fuzz.play(1, 0, fuzz.Outcome())


def test_a_reader_whose_result_depends_on_the_cut_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = websocket.FrameReader.feed

    def forgetful(self, data: bytes):
        found = feed(self, data)
        self._pending = self._pending[:100]
        return found

    monkeypatch.setattr(websocket.FrameReader, "feed", forgetful)
    with pytest.raises(fuzz.Found, match="stream: AssertionError"):
        for number in range(50):
            fuzz.play(1, number, fuzz.Outcome())


def test_a_frame_with_two_spellings_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def lax(data: bytes):
        return protocol.decode_client(data[:1] if data[:1] == b"\x05" else data)

    monkeypatch.setattr(targets, "decode_client", lax)
    with pytest.raises(fuzz.Found, match="device_frame: AssertionError"):
        for number in range(20):
            fuzz.play(1, number, fuzz.Outcome())
