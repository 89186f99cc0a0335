"""What the fuzzer attacks: every parser of bytes that somebody else chose, and what each must hold for any bytes.

A target takes one input and returns how many frames it was; it raises only by a bug: anything but the documented error
is one, and so is a broken promise (a frame that is written in two ways, a result that depends on how the stream was
cut, a buffer that grows).
"""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable

from sut.protocol import peer
from sut.protocol.device.client import Client
from sut.protocol.device.events import ClientSettings
from sut.protocol.frames import MAX_FRAME, Close, FrameError, decode_client, decode_server, encode
from sut.protocol.handshake import HandshakeError, check_upgrade, read_request, response
from sut.protocol.server import Answer, End, Forward, ServerSession
from sut.protocol.tokens import TokenError, prove
from sut.protocol.websocket import INVALID_DATA, NO_STATUS, FrameReader, Violation, unmask
from tests.sut.protocol import test_frames, test_signals
from tests.sut.protocol.test_websocket_handshake import request

FRAMES = [bytes.fromhex(text) for _, text in (*test_frames.EXAMPLES, *test_signals.EXAMPLES)]
FROM_DEVICE = [frame for frame in FRAMES if frame[0] < 0x80]
FROM_GATEWAY = [frame for frame in FRAMES if frame[0] >= 0x80]
STATUSES = {400, 401, 404, 405, 426, 431}
OUR_CODES = {int(code) for code in Close} | {INVALID_DATA, NO_STATUS}
KEY = bytes(32)
SETTINGS = ClientSettings()

Target = Callable[[bytes, random.Random], int]


def device_frame(data: bytes, _rng: random.Random) -> int:
    """decode_client: a frame that is written in this one way, or FrameError in one line."""
    try:
        frame = decode_client(data)
    except FrameError as error:
        assert "\n" not in str(error)
    else:
        assert encode(frame) == data
    return 1


def gateway_frame(data: bytes, _rng: random.Random) -> int:
    """decode_server, the same."""
    try:
        frame = decode_server(data)
    except FrameError as error:
        assert "\n" not in str(error)
    else:
        assert encode(frame) == data
    return 1


def peer_frame(data: bytes, _rng: random.Random) -> int:
    """Between our own processes: a frame or FrameError."""
    with contextlib.suppress(FrameError):
        peer.decode(data)
    return 1


def stream(data: bytes, rng: random.Random) -> int:
    """The WebSocket reader: the same frames however the stream is cut, a bounded buffer, nothing after the end."""
    whole, cut = FrameReader(), FrameReader()
    expected = whole.feed(data)
    place = rng.randrange(len(data) + 1)
    found = cut.feed(data[:place])
    assert cut.held <= 2 * MAX_FRAME + 14
    found += cut.feed(data[place:])
    assert found == expected, f"cut at {place}"
    assert whole.held == cut.held <= 2 * MAX_FRAME + 14
    assert not any(isinstance(one, Violation) for one in expected[:-1])
    if whole.ended:
        assert whole.feed(data) == []
        assert whole.held == 0
    return max(1, len(expected))


def session(data: bytes, rng: random.Random) -> int:
    """A gateway's session: decisions, an End the last of them, with a code that the page names or the peer's own."""
    one = ServerSession(0)
    decisions = one.receive(data, mark=rng.randrange(2), second=rng.randrange(2))
    assert all(isinstance(decision, Forward | Answer) for decision in decisions[:-1])
    if decisions and isinstance(decisions[-1], End):
        code = decisions[-1].code
        assert code in OUR_CODES or 1000 <= code <= 1014 or 3000 <= code <= 4999
        assert one.receive(data, mark=0, second=0) == []
    assert one.held <= 2 * MAX_FRAME + 14
    return max(1, len(decisions))


def upgrade(data: bytes, _rng: random.Random) -> int:
    """The upgrade request: incomplete, good, or a refusal with a documented status."""
    try:
        parsed = read_request(data)
        if parsed is not None:
            check_upgrade(parsed)
    except HandshakeError as error:
        assert error.status in STATUSES
        assert response(error.status, str(error)).count(b"\r\n\r\n") == 1
    return 1


def token(data: bytes, _rng: random.Random) -> int:
    """A token: proof or TokenError. Nothing that the key did not sign proves anything."""
    try:
        prove(data.decode("latin-1"), KEY, 0.0)
    except TokenError as error:
        assert "\n" not in str(error)
    else:
        raise AssertionError("a token that nobody signed is good")
    return 1


def client(data: bytes, rng: random.Random) -> int:
    """A device that talks to a mad gateway: FrameError, and otherwise it lives on."""
    one = Client(user=1, device=1, rng=rng, settings=SETTINGS)
    one.connected(0.0)
    one.submit(1, b"x", 0.0)
    size = rng.choice((len(data), 26, 46, 17))
    count = 0
    for start in range(0, min(len(data), 4 * size), max(1, size)):
        count += 1
        with contextlib.suppress(FrameError):
            one.receive(data[start : start + size], 0.1 * count)
    one.tick(10.0)
    assert sum(map(len, one.frames())) < 1 << 20
    for _ in one.events():
        pass
    return max(1, count)


def masked(payload: bytes, rng: random.Random) -> bytes:
    """A device's WebSocket frame, now and then with a wrong head."""
    first = 0x82 if rng.random() < 0.7 else rng.choice((0x02, 0x00, 0x80, 0x88, 0x89, 0x8A, 0x81, 0xC2, 0x09))
    mask = rng.randbytes(4)
    size = len(payload)
    head = struct.pack("!BB", first, 0x80 | size) if size < 126 else struct.pack("!BBH", first, 0xFE, size)
    return head + mask + unmask(payload, mask)


PEERS = [
    peer.encode(frame)[4:]
    for frame in (
        peer.Hello("gateway-1", 7),
        peer.Ping(),
        peer.Pong("x", 1, {"a": 1.0}),
        peer.Submit(1, 2, 3, 4, 5, b"body"),
        peer.SyncDevice(1, 2, 3, 4, ((5, 6), (7, 8))),
        peer.Deliveries((peer.Deliver((1, 2), b"frame", 4403), peer.Deliver((), b""))),
        peer.ReadHeads(1, (2, 3)),
        peer.ReadAllHeads((peer.ReadHeads(1, (2, 3)), peer.ReadHeads(4, (), "sequencer-1"))),
    )
]
REQUESTS = [
    request(),
    request("GET /v1/ws?token=a.b.c HTTP/1.1", Authorization=None),
    request("GET /v1/health HTTP/1.1"),
    request(Content_Length="0"),
    request(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"),
]
TOKENS = [
    b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIiwiZGV2IjoxMSwiaWF0IjoxLCJleHAiOjk5OTk5OTk5OTl9.AAAA",
    b"eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIiwiZGV2IjoxMSwiaWF0IjoxLCJleHAiOjk5OTk5OTk5OTl9.",
]

TARGETS: dict[str, tuple[Target, list[bytes], bool, int]] = {
    "device_frame": (device_frame, FROM_DEVICE, False, 30),
    "gateway_frame": (gateway_frame, FROM_GATEWAY, False, 25),
    "stream": (stream, FROM_DEVICE, True, 12),
    "session": (session, FROM_DEVICE, True, 12),
    "upgrade": (upgrade, REQUESTS, False, 5),
    "peer_frame": (peer_frame, PEERS, False, 8),
    "client": (client, FROM_GATEWAY, False, 5),
    "token": (token, TOKENS, False, 3),
}
"""By name: the target, its corpus, whether inputs are wrapped as WebSocket frames of a device, its share in percent."""
