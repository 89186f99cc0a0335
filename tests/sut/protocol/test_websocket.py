"""The codec against another implementation (`websockets`, both of its sans-I/O sides) and against noise."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from sut.protocol import websocket
from sut.protocol.frames import MAX_FRAME, Close
from sut.protocol.websocket import FrameReader, Op, Received, Violation, unmask

MASK = b"\x01\x80\xfe\x7f"


def masked(first: int, payload: bytes, *, size: int | None = None, mask: bytes = MASK) -> bytes:
    """A client's frame; `size` lies about the length."""
    size = len(payload) if size is None else size
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + mask + unmask(payload, mask)


def fed(reader: FrameReader, stream: bytes, cuts: list[int]) -> list[Received | Violation]:
    """What the reader makes of the stream, cut at these places."""
    out: list[Received | Violation] = []
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(places):
        out += reader.feed(stream[start:end])
        assert reader.held <= 2 * MAX_FRAME + 14
    return out


payloads = st.binary(max_size=300) | st.integers(0, MAX_FRAME).map(bytes)
cuts = st.lists(st.integers(0, 1 << 20), max_size=12)


@given(st.binary(max_size=70), st.binary(min_size=4, max_size=4))
def test_unmasking_is_a_repeated_xor(payload: bytes, mask: bytes) -> None:
    assert unmask(payload, mask) == bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


@given(st.lists(payloads, max_size=6), st.lists(st.integers(0, 400), max_size=4), cuts)
def test_what_a_websockets_client_sends_arrives(bodies: list[bytes], parts: list[int], where: list[int]) -> None:
    client = ClientProtocol(parse_uri("ws://x/"), state=State.OPEN)
    expected: list[Received | Violation] = []
    for body in bodies:
        pieces = [body[a:b] for a, b in zip([0, *sorted(parts)], [*sorted(parts), len(body)], strict=True)]
        for i, piece in enumerate(pieces):
            final = i == len(pieces) - 1
            send = client.send_binary if i == 0 else client.send_continuation
            send(piece, fin=final)
            client.send_ping(b"between")
        position = [Received(Op.PING, b"between")] * len(pieces)
        expected += [*position[:-1], Received(Op.BINARY, b"".join(pieces)), position[-1]]
    client.send_close(4000, "bye")
    expected.append(Received(Op.CLOSE, struct.pack("!H", 4000) + b"bye"))
    reader = FrameReader()
    assert fed(reader, b"".join(client.data_to_send()), where) == expected
    assert reader.ended


@given(st.lists(payloads | st.just(bytes(70_000)), max_size=5))
def test_a_websockets_client_reads_what_we_write(bodies: list[bytes]) -> None:
    client = ClientProtocol(parse_uri("ws://x/"), state=State.OPEN)
    client.receive_data(b"".join(websocket.binary(body) for body in bodies) + websocket.pong(b"p"))
    client.receive_data(websocket.close(4409, "ü" * 100))
    frames = client.events_received()
    assert [f.data for f in frames if isinstance(f, Frame) and f.opcode is Opcode.BINARY] == bodies
    assert client.close_rcvd is not None
    assert client.close_rcvd.code == 4409
    assert client.close_rcvd.reason == "ü" * 61
    assert client.parser_exc is None


@given(st.binary(max_size=400), cuts)
def test_noise_has_a_defined_result_however_it_is_cut(noise: bytes, where: list[int]) -> None:
    whole, cut = FrameReader(), FrameReader()
    results = whole.feed(noise)
    assert fed(cut, noise, where) == results
    assert all(isinstance(result, Received) for result in results[:-1])
    assert whole.ended == bool(results and (isinstance(results[-1], Violation) or results[-1].op == Op.CLOSE))
    if whole.ended:
        assert whole.feed(masked(0x82, b"more")) == []
        assert whole.held == 0


frames = st.builds(
    masked,
    st.sampled_from([0x82, 0x02, 0x80, 0x00, 0x88, 0x89, 0x8A, 0x09, 0xC2, 0x83, 0x8B]) | st.integers(0, 255),
    st.binary(max_size=140) | st.sampled_from([b"\x03\xe8", b"\x03\xed", b"\x03", b"\x0f\xa0\xff", b"\x13\x88"]),
)


@given(st.lists(frames, max_size=8))
def test_violations_are_those_that_websockets_finds(stream: list[bytes]) -> None:
    theirs = ServerProtocol(state=State.OPEN, max_size=MAX_FRAME)
    ours = FrameReader()
    for data in stream:
        results = ours.feed(data)
        theirs.receive_data(data)
        failed = theirs.close_sent if theirs.parser_exc is not None else None
        if results and isinstance(results[-1], Violation):
            if results[-1].code == Close.TEXT:  # text is fine with them
                return
            assert failed is not None
            both_wrong = {failed.code, results[-1].code} == {Close.PROTOCOL, websocket.INVALID_DATA}
            assert failed.code == results[-1].code or both_wrong  # a bad code with a bad reason
            return
        if failed is not None and failed.reason == "incomplete fragmented message":  # a close within a message
            return
        assert failed is None
        if ours.ended:
            return


BAD_CODES = (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)
HUGE = struct.pack("!BBQ", 0x82, 0xFF, 1 << 40)


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (b"\x82\x01x", Close.PROTOCOL),  # unmasked
        (masked(0x81, b"text"), Close.TEXT),
        (masked(0x81, b"")[:2], Close.TEXT),  # at the second byte
        (masked(0x01, b"te"), Close.TEXT),
        (masked(0xC2, b""), Close.PROTOCOL),
        (masked(0x83, b""), Close.PROTOCOL),
        (masked(0x8B, b""), Close.PROTOCOL),
        (masked(0x09, b""), Close.PROTOCOL),  # fragmented ping
        (masked(0x89, bytes(126))[:2], Close.PROTOCOL),
        (masked(0x80, b"x"), Close.PROTOCOL),  # continuation of nothing
        (masked(0x02, b"x") + masked(0x82, b"y"), Close.PROTOCOL),
        (b"\x82\xfe\x00\x05", Close.PROTOCOL),  # five in two bytes
        (struct.pack("!BBQ", 0x82, 0xFF, 300), Close.PROTOCOL),
        (HUGE, Close.TOO_BIG),
        (masked(0x82, b"", size=MAX_FRAME + 1)[:4], Close.TOO_BIG),  # by the header alone
        (masked(0x02, bytes(MAX_FRAME)) + masked(0x80, b"x"), Close.TOO_BIG),
        (masked(0x88, b"\x03"), Close.PROTOCOL),
        *((masked(0x88, struct.pack("!H", code)), Close.PROTOCOL) for code in BAD_CODES),
        (masked(0x88, b"\x03\xe8\xff"), websocket.INVALID_DATA),
    ],
)  # fmt: skip
def test_violation(stream: bytes, code: int) -> None:
    for reader, step in ((FrameReader(), len(stream)), (FrameReader(), 1)):
        results = [r for at in range(0, len(stream), step) for r in reader.feed(stream[at : at + step])]
        assert isinstance(results[-1], Violation)
        assert results[-1].code == code
        assert results[-1].reason
        assert reader.held == 0


def test_the_largest_message_passes_in_one_and_in_parts() -> None:
    body = bytes(range(256)) * (MAX_FRAME // 256)
    for stream in (masked(0x82, body), masked(0x02, body[:9]) + masked(0x00, b"") + masked(0x80, body[9:])):
        assert FrameReader().feed(stream) == [Received(Op.BINARY, body)]


def test_a_close_within_a_message_lets_go_of_it() -> None:
    reader = FrameReader()
    assert reader.feed(masked(0x02, bytes(9000)) + masked(0x88, b"")) == [Received(Op.CLOSE, b"")]
    assert reader.held == 0


def test_endless_empty_fragments_cost_no_memory() -> None:
    reader = FrameReader()
    assert reader.feed(masked(0x02, b"x") + masked(0x00, b"") * 10_000) == []
    assert reader.held == 1
    assert reader.feed(masked(0x80, b"y")) == [Received(Op.BINARY, b"xy")]


@pytest.mark.parametrize(("payload", "code"), [(b"", websocket.NO_STATUS), (b"\x03\xe8bye", 1000)])
def test_close_code(payload: bytes, code: int) -> None:
    assert websocket.close_code(payload) == code


def test_a_close_without_a_code_is_an_empty_frame() -> None:
    assert websocket.close(websocket.NO_STATUS) == b"\x88\x00"
