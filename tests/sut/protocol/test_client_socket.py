"""The device's half of a WebSocket against two other implementations (`websockets` and `wsproto`) and noise."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong
from wsproto.events import Request as WsprotoRequest

from sut.protocol import websocket
from sut.protocol.client_socket import ClientSocket, address_of, masked
from sut.protocol.frames import Close
from sut.protocol.handshake import MAX_REQUEST, accepted, check_upgrade, read_request, response
from sut.protocol.websocket import FrameReader, Op, Received

LIMIT = 100_000
URL = "ws://gateway.test:8080/v1/ws?log=1"

payloads = st.binary(max_size=300) | st.integers(0, LIMIT).map(bytes)
cuts = st.lists(st.integers(0, 1 << 20), max_size=12)


def parts(stream: bytes, where: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(stream) + 1) for cut in where), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(places) if a < b]


def fed(one: ClientSocket, stream: bytes, where: list[int]) -> list[bytes]:
    return [message for part in parts(stream, where) for message in one.receive(part)]


def dialled() -> tuple[ClientSocket, str]:
    """A socket that awaits the answer, and the key of its request."""
    one = ClientSocket.dial(address_of(URL), "T.O.K", LIMIT)
    request = read_request(one.output())
    assert request is not None
    return one, check_upgrade(request).key


@given(st.lists(payloads, max_size=6), st.lists(st.integers(0, 400), max_size=4), cuts)
def test_what_a_websockets_server_sends_arrives(bodies: list[bytes], pieces: list[int], where: list[int]) -> None:
    server = ServerProtocol(state=State.OPEN)
    for body in bodies:
        edges = [0, *sorted(min(piece, len(body)) for piece in pieces), len(body)]
        for number, (a, b) in enumerate(itertools.pairwise(edges)):
            send = server.send_continuation if number else server.send_binary
            send(body[a:b], fin=number == len(edges) - 2)
            server.send_ping(b"between")
    ours = ClientSocket(LIMIT)
    assert fed(ours, b"".join(server.data_to_send()), where) == bodies
    assert ours.open
    server.receive_data(ours.output())
    assert [f.data for f in server.events_received() if isinstance(f, Frame)] == [b"between"] * (
        len(bodies) * (len(pieces) + 1)
    )
    assert ours.idle
    server.send_close(4000, "bye")
    assert fed(ours, b"".join(server.data_to_send()), where) == []
    assert (ours.open, ours.close_code, ours.close_reason, ours.fault) == (False, 4000, "bye", None)
    server.receive_data(ours.output())
    assert server.close_rcvd is not None
    assert server.close_rcvd.code == 4000


@given(st.lists(payloads | st.just(bytes(70_000)), max_size=5), cuts)
def test_what_a_device_sends_arrives_at_both(bodies: list[bytes], where: list[int]) -> None:
    ours, theirs, gateway = ClientSocket(LIMIT), ServerProtocol(state=State.OPEN), FrameReader(LIMIT)
    for body in bodies:
        ours.send(body)
    ours.close(Close.GOING_AWAY)
    ours.send(b"too late")
    stream = ours.output()
    results = [result for part in parts(stream, where) for result in gateway.feed(part)]
    assert results == [*(Received(Op.BINARY, body) for body in bodies), Received(Op.CLOSE, struct.pack("!H", 1001))]
    theirs.receive_data(stream)
    frames = theirs.events_received()
    assert [f.data for f in frames if isinstance(f, Frame) and f.opcode is Opcode.BINARY] == bodies
    assert theirs.close_rcvd is not None
    assert theirs.close_rcvd.code == 1001


def test_masks_differ() -> None:
    assert len({masked(bytes(4)) for _ in range(3000)}) > 2990


def server_frame(first: int, payload: bytes, *, size: int | None = None) -> bytes:
    size = len(payload) if size is None else size
    if size < 126:
        return struct.pack("!BB", first, size) + payload
    return struct.pack("!BBH", first, 126, size) + payload


frames = st.builds(
    server_frame,
    st.sampled_from([0x82, 0x02, 0x80, 0x00, 0x88, 0x89, 0x8A, 0x09, 0xC2, 0x83, 0x8B]) | st.integers(0, 255),
    st.binary(max_size=140) | st.sampled_from([b"\x03\xe8", b"\x03\xed", b"\x03", b"\x0f\xa0\xff", b"\x13\x88"]),
) | st.just(b"\x82\x81abcde")


@given(st.lists(frames, max_size=8))
def test_messages_and_faults_are_those_that_websockets_finds(stream: list[bytes]) -> None:
    theirs = ClientProtocol(parse_uri("ws://x/"), state=State.OPEN, max_size=LIMIT)
    ours = ClientSocket(LIMIT)
    fragments: list[bytes] = []
    for data in stream:
        messages = ours.receive(data)
        theirs.receive_data(data)
        found: list[bytes] = []
        for frame in theirs.events_received():
            if isinstance(frame, Frame) and frame.opcode in (Opcode.BINARY, Opcode.CONT):
                fragments.append(frame.data)
                if frame.fin:
                    found.append(b"".join(fragments))
                    fragments.clear()
        if ours.fault is not None and ours.fault.code == Close.TEXT:  # text is fine with them
            return
        incomplete = theirs.close_sent is not None and theirs.close_sent.reason == "incomplete fragmented message"
        if incomplete:  # a close within a message
            return
        assert messages == found
        assert (ours.fault is not None) == (theirs.parser_exc is not None)
        assert (ours.close_code is not None) == (theirs.close_rcvd is not None and theirs.parser_exc is None)
        assert ours.open == (theirs.state is State.OPEN)
        if not ours.open:
            return


@given(st.binary(max_size=400), cuts)
def test_noise_has_a_defined_result_however_it_is_cut(noise: bytes, where: list[int]) -> None:
    whole, cut = ClientSocket(LIMIT), ClientSocket(LIMIT)
    assert fed(cut, noise, where) == (whole.receive(noise) if noise else [])
    assert (whole.open, whole.close_code, whole.fault) == (cut.open, cut.close_code, cut.fault)
    dials, cut_dial = dialled()[0], dialled()[0]
    assert fed(cut_dial, noise, where) == fed(dials, noise, []) == []
    assert (dials.refused is None) == (cut_dial.refused is None)
    assert not dials.open


@given(payloads, cuts)
def test_our_gateway_and_a_websockets_server_accept_the_request_and_it_their_answer(body: bytes, where: list[int]):
    theirs = ServerProtocol()
    one = ClientSocket.dial(address_of(URL), "T.O.K", LIMIT)
    request = one.output()
    assert one.output() == b""
    parsed = read_request(request)
    assert parsed is not None
    upgrade = check_upgrade(parsed)
    assert (upgrade.token, upgrade.log, parsed.headers["host"]) == ("T.O.K", True, "gateway.test:8080")
    theirs.receive_data(request)
    (asked,) = theirs.events_received()
    assert isinstance(asked, Request)
    theirs.send_response(theirs.accept(asked))
    theirs.send_binary(body)
    assert fed(one, b"".join(theirs.data_to_send()), where) == [body]
    assert one.idle
    ours, key = dialled()
    assert fed(ours, accepted(key) + websocket.binary(body), where) == [body]
    assert ours.idle


@given(st.lists(payloads, max_size=4), cuts)
def test_a_wsproto_server_and_a_device_understand_each_other(bodies: list[bytes], where: list[int]) -> None:
    server = WSConnection(ConnectionType.SERVER)
    one = ClientSocket.dial(address_of(URL), "T.O.K", LIMIT)
    server.receive_data(one.output())
    (asked,) = server.events()
    assert isinstance(asked, WsprotoRequest)
    assert (asked.host, asked.target) == ("gateway.test:8080", "/v1/ws?log=1")
    said = server.send(AcceptConnection())
    for body in bodies:
        said += server.send(BytesMessage(body[:7], message_finished=False)) + server.send(Ping(b"p"))
        said += server.send(BytesMessage(body[7:]))
    assert fed(one, said, where) == bodies
    for body in bodies:
        one.send(body)
    one.close(Close.GOING_AWAY)
    for part in parts(one.output(), where):
        server.receive_data(part)
    events = list(server.events())
    assert sum(isinstance(event, Pong) for event in events) == len(bodies)
    heard = b"".join(bytes(event.data) for event in events if isinstance(event, BytesMessage))
    assert heard == b"".join(bodies)
    assert isinstance(events[-1], CloseConnection)
    assert events[-1].code == Close.GOING_AWAY


def test_a_refusal_has_its_status() -> None:
    for status in (401, 404, 429, 503):
        one, _ = dialled()
        assert one.receive(response(status, "no")) == []
        assert one.refused is not None
        assert one.refused.status == status
        assert str(status) in str(one.refused)
        assert one.receive(websocket.binary(b"more")) == []
        assert not one.open


@pytest.mark.parametrize(
    "change",
    [
        (b"websocket", b"webrocket"),
        (b"Connection: Upgrade", b"Connection: close"),
        (b"Accept: ", b"Accept: x"),
        (b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        (b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: chat\r\n\r\n"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"101", b"200"),
        (b"\r\nUpgrade", b"\nUpgrade"),
    ],
)
def test_a_101_that_is_none_is_refused(change: tuple[bytes, bytes]) -> None:
    one, key = dialled()
    one.receive(accepted(key).replace(*change, 1))
    assert one.refused is not None
    assert not one.open


def test_an_endless_answer_and_an_early_end_are_refused() -> None:
    one, _ = dialled()
    one.receive(b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"x" * MAX_REQUEST)
    assert one.refused is not None
    other, _ = dialled()
    other.receive(b"HTTP/1.1 101 Swit")
    assert other.refused is None
    other.receive(b"")
    assert other.refused is not None
    assert other.refused.status == 0


@pytest.mark.parametrize("frame", [b"\x82\x7e\x00\x01x", b"\x82\x7f" + struct.pack("!Q", 2) + b"xx"])
def test_a_length_in_too_many_bytes_is_a_fault(frame: bytes) -> None:  # which `websockets` takes
    one = ClientSocket(LIMIT)
    assert one.receive(frame) == []
    assert one.fault is not None
    assert one.fault.code == Close.PROTOCOL


def test_a_message_beyond_the_limit_ends_the_connection_at_its_header() -> None:
    one = ClientSocket(LIMIT)
    one.receive(b"\x82\x7f" + struct.pack("!Q", LIMIT + 1))
    assert one.fault is not None
    assert one.fault.code == Close.TOO_BIG
    (close,) = FrameReader().feed(one.output())
    assert isinstance(close, Received)
    assert websocket.close_code(close.payload) == Close.TOO_BIG


@pytest.mark.parametrize("url", ["http://x/", "ws:///path", "x", "ws://x:y/", "ws://a b/", "ws://::1/"])
def test_only_urls_of_websockets_have_an_address(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        address_of(url)


def test_an_address_names_the_usual_ports() -> None:
    assert address_of("wss://x") == ("x", 443, True, "x", "/")
    assert address_of("ws://[::1]:9/p") == ("::1", 9, False, "[::1]:9", "/p")
