"""The server's session: what each frame of a device leads to, and that noise leads only to decisions."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from sut.protocol.frames import (
    BEAT_RESYNC,
    MAX_FRAME,
    Beat,
    Close,
    Error,
    Fetch,
    Heartbeat,
    Nack,
    Recv,
    Refused,
    Send,
    Sync,
    decode_server,
    encode,
)
from sut.protocol.server import MAX_FRAMES_PER_S, Answer, Decision, End, Forward, ServerSession

u64 = st.integers(0, 2**64 - 1)
client_frames = (
    st.builds(Send, u64, u64, st.binary(min_size=1, max_size=400))
    | st.builds(Recv, u64, u64)
    | st.builds(Fetch, st.integers(0, 2**32 - 1), u64, u64, st.integers(0, 2**16 - 1))
    | st.builds(Sync, st.integers(0, 2**32 - 1), u64, st.lists(st.tuples(u64, u64), max_size=5).map(tuple))
)


class Device:
    """A `websockets` client and a session, back to back, without a wire."""

    def __init__(self, mark: int = 0) -> None:
        self.client = ClientProtocol(parse_uri("ws://x/"), state=State.OPEN)
        self.session = ServerSession(mark)
        self.mark = mark
        self.second = 1

    def pass_on(self) -> list[Decision]:
        """What the session decides about all that the client has to send."""
        data = b"".join(self.client.data_to_send())
        return self.session.receive(data, mark=self.mark, second=self.second)

    def send(self, payload: bytes) -> list[Decision]:
        """One binary message."""
        self.client.send_binary(payload)
        return self.pass_on()

    def beat(self) -> Beat:
        """One heartbeat's answer."""
        (decision,) = self.send(encode(Heartbeat()))
        assert isinstance(decision, Answer)
        frame = self.read(decision)
        beat = decode_server(frame.data)
        assert isinstance(beat, Beat)
        assert decision.resync == bool(beat.flags & BEAT_RESYNC)
        return beat

    def read(self, decision: Decision) -> Frame:
        """The frame in an answer, as the client reads it."""
        assert isinstance(decision, Answer)
        self.client.receive_data(decision.data)
        (frame,) = self.client.events_received()
        assert isinstance(frame, Frame)
        return frame


@given(st.lists(client_frames, max_size=10))
def test_requests_are_forwarded_as_they_are_and_in_order(frames: list[Send | Recv | Fetch | Sync]) -> None:
    device = Device()
    for frame in frames:
        device.client.send_binary(encode(frame))
    assert device.pass_on() == [Forward(frame) for frame in frames]


def test_resync_is_said_once_for_each_move_of_the_mark() -> None:
    device = Device(mark=5)
    assert device.beat() == Beat(0)
    device.mark = 6
    assert [device.beat().flags for _ in range(3)] == [BEAT_RESYNC, 0, 0]
    device.mark = 9
    assert [device.beat().flags for _ in range(2)] == [BEAT_RESYNC, 0]
    device.session.forget_mark()
    assert [device.beat().flags for _ in range(2)] == [BEAT_RESYNC, 0]


def test_ping_is_answered_and_an_unasked_pong_is_not() -> None:
    device = Device()
    device.client.send_ping(b"there?")
    device.client.send_pong(b"here")
    (decision,) = device.pass_on()
    assert device.read(decision).data == b"there?"


@pytest.mark.parametrize("code", [1000, 1001, 4000])
def test_a_close_is_answered_with_its_code(code: int) -> None:
    device = Device()
    device.client.send_close(code)
    assert device.pass_on() == [End(code, "")]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", Close.MALFORMED),
        (b"\x00", Close.MALFORMED),
        (b"\x7f" + bytes(20), Close.MALFORMED),
        (b"\x81" + bytes(20), Close.MALFORMED),  # a gateway's frame
        (encode(Heartbeat()) + b"x", Close.MALFORMED),
        (encode(Recv(1, 2)) + b"x", Close.MALFORMED),
        (encode(Send(1, 2, b"")), Close.MALFORMED),
        (encode(Send(1, 2, bytes(MAX_FRAME - 17))), Close.MALFORMED),  # body over the limit in a frame within it
        (encode(Send(1, 2, bytes(MAX_FRAME))), Close.TOO_BIG),
    ],
)
def test_what_ends_the_session(payload: bytes, code: int) -> None:
    device = Device()
    device.client.send_binary(encode(Recv(1, 1)))
    device.client.send_binary(payload)
    device.client.send_binary(encode(Recv(1, 2)))  # not acted on any more
    first, last = device.pass_on()
    assert first == Forward(Recv(1, 1))
    assert isinstance(last, End)
    assert last.code == code
    assert last.reason


def test_text_ends_the_session() -> None:
    device = Device()
    device.client.send_text(b"hello")
    assert device.pass_on() == [End(Close.TEXT, "frames are binary")]


def test_beyond_the_rate_requests_are_refused_and_heartbeats_are_not() -> None:
    device = Device()
    for _ in range(MAX_FRAMES_PER_S):
        device.client.send_binary(encode(Recv(1, 1)))
    assert len(device.pass_on()) == MAX_FRAMES_PER_S
    (refused,) = device.send(encode(Send(1, 2, b"x")))
    assert decode_server(device.read(refused).data) == Refused(1, 2, Nack.OVERLOADED)
    (refused,) = device.send(encode(Fetch(7, 1, 0, 10)))
    assert decode_server(device.read(refused).data) == Error(7, Nack.OVERLOADED)
    assert device.send(encode(Recv(1, 1))) == []
    assert device.beat() == Beat(0)
    device.second += 1
    assert device.send(encode(Recv(1, 1))) == [Forward(Recv(1, 1))]


@example([b"\x82\x80", b"\x00\x00", b"\x00\x00"])  # an empty frame ended the session, and it went on after that
@given(st.lists(st.binary(max_size=100), max_size=8))
def test_noise_leads_to_decisions_and_keeps_little(chunks: list[bytes]) -> None:
    session = ServerSession(0)
    for chunk in chunks:
        decisions = session.receive(chunk, mark=0, second=0)
        assert all(not isinstance(decision, End) for decision in decisions[:-1])
        assert session.held <= 800
        if decisions and isinstance(decisions[-1], End):
            assert session.receive(b"\x82\x80abcd", mark=0, second=0) == []
            return


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_well_wrapped_noise_leads_to_decisions(payloads: list[bytes]) -> None:
    device = Device()
    for payload in payloads:
        for decision in device.send(payload):
            if isinstance(decision, End):
                assert decision.code == Close.MALFORMED
                return


chunks = st.lists(
    st.sampled_from([encode(Heartbeat()), encode(Recv(1, 2)), encode(Heartbeat()) + b"x", b"", b"\x7f"]).map(
        lambda payload: Frame(Opcode.BINARY, payload).serialize(mask=True)
    )
    | st.binary(max_size=9)
    | st.sampled_from([Opcode.PING, Opcode.TEXT, Opcode.CLOSE]).map(lambda op: Frame(op, b"x").serialize(mask=True))
    | st.just(Frame(Opcode.BINARY, encode(Heartbeat()), fin=False).serialize(mask=True)),
    max_size=12,
)


@given(chunks, st.lists(st.booleans(), max_size=20), st.data())
def test_the_short_way_of_a_heartbeat_leads_where_the_long_one_does(
    sent: list[bytes], cuts: list[bool], data: st.DataObject
) -> None:
    short, long = ServerSession(0), ServerSession(0)
    stream, ends = b"".join(sent), [*accumulate(map(len, sent))]
    ends = [end for end, kept in zip(ends, cuts, strict=False) if kept]
    ends += data.draw(st.lists(st.integers(0, len(stream)), max_size=3))
    places = sorted({0, *ends, len(stream)})
    for turn, (start, end) in enumerate(pairwise(places)):
        chunk, told = stream[start:end], {"mark": turn // 3, "second": turn // 2}
        answer = short.heartbeat(chunk, **told)
        found = [answer] if answer is not None else short.receive(chunk, **told)
        assert found == long.receive(chunk, **told)
        assert (short._count, short._mark) == (long._count, long._mark)


def test_a_lone_heartbeat_goes_the_short_way_and_nothing_else_does() -> None:
    session = ServerSession(3)
    beat = Frame(Opcode.BINARY, encode(Heartbeat())).serialize(mask=True)
    assert session.heartbeat(beat, mark=3, second=1) is not None
    assert session.heartbeat(beat + beat, mark=3, second=1) is None
    assert session.heartbeat(Frame(Opcode.BINARY, b"\x7f").serialize(mask=True), mark=3, second=1) is None
    session.receive(beat[:3], mark=3, second=1)
    assert session.heartbeat(beat, mark=3, second=1) is None, "in the middle of a frame it is something else"
    session = ServerSession(3)
    (ended,) = session.receive(Frame(Opcode.BINARY, encode(Heartbeat()) + b"x").serialize(mask=True), mark=3, second=1)
    assert isinstance(ended, End)
    assert session.heartbeat(beat, mark=3, second=1) is None, "after its end a session answers nothing"
