"""The upgrade request: what `websockets` sends is accepted, everything else is refused with its status."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from sut.protocol.handshake import (
    MAX_REQUEST,
    PATH,
    HandshakeError,
    Request,
    Upgrade,
    accept_key,
    accepted,
    check_upgrade,
    read_request,
    response,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    "Host": "x",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
    "Authorization": "Bearer T.O.K",
}


def request(line: str = f"GET {PATH} HTTP/1.1", **changes: str | None) -> bytes:
    """The good request with some headers changed (name with _ for -) or, with None, left out."""
    headers = GOOD | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode()


def upgrade(data: bytes) -> Upgrade:
    """What a whole request asks for."""
    parsed = read_request(data)
    assert parsed is not None
    return check_upgrade(parsed)


def status_of(data: bytes) -> int:
    """With what a request is refused."""
    with pytest.raises(HandshakeError) as caught:
        upgrade(data)
    assert "\n" not in str(caught.value)
    assert response(caught.value.status, str(caught.value)).startswith(b"HTTP/1.1 %d " % caught.value.status)
    return caught.value.status


def test_the_example_of_the_rfc() -> None:
    assert accept_key(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_websockets_client_is_accepted_and_gets_no_extension() -> None:
    client = ClientProtocol(parse_uri(f"ws://example.org{PATH}?token=a.b.c"))
    asked = client.connect()
    asked.headers["Sec-WebSocket-Extensions"] = "permessage-deflate; client_max_window_bits"
    client.send_request(asked)
    wanted = upgrade(b"".join(client.data_to_send()))
    assert wanted.token == "a.b.c"
    client.receive_data(accepted(wanted.key))
    answer = client.events_received()[0]
    assert isinstance(answer, Response)
    assert client.handshake_exc is None
    assert client.state is State.OPEN
    assert client.extensions == []


def test_good_request() -> None:
    assert upgrade(request()) == Upgrade(KEY, "T.O.K")


@pytest.mark.parametrize("split", range(1, 60, 7))
def test_a_request_may_come_in_parts_and_be_followed_by_frames(split: int) -> None:
    data = request() + b"\x82\xff"
    assert read_request(data[:split]) is None
    parsed = read_request(data)
    assert isinstance(parsed, Request)
    assert parsed.rest == b"\x82\xff"


def test_the_header_wins_over_the_query() -> None:
    assert upgrade(request(f"GET {PATH}?a=b&token=Q HTTP/1.1")).token == "T.O.K"
    assert upgrade(request(f"GET {PATH}?a=b&token=Q HTTP/1.1", Authorization=None)).token == "Q"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("GET /elsewhere HTTP/1.1"), 404),
        (request(f"POST {PATH} HTTP/1.1"), 405),
        (request(f"GET {PATH} HTTP/1.0"), 400),
        (request(f"get {PATH} HTTP/1.1"), 400),
        (request(f"GET  {PATH} HTTP/1.1"), 400),
        (request("GET http://x/v1/ws HTTP/1.1"), 400),
        (request(Host=None), 400),
        (request(Content_Length="5"), 400),
        (request(Transfer_Encoding="chunked"), 400),
        (request(Upgrade=None), 426),
        (request(Upgrade="h2c"), 426),
        (request(Connection="close"), 426),
        (request(Sec_WebSocket_Version="8"), 426),
        (request(Sec_WebSocket_Version=None), 426),
        (request(Sec_WebSocket_Key=None), 400),
        (request(Sec_WebSocket_Key="c2hvcnQ="), 400),
        (request(Sec_WebSocket_Key="!" * 24), 400),
        (request(Authorization=None), 401),
        (request(Authorization="Basic eDp5"), 401),
        (request(Authorization="Bearer "), 401),
        (request(f"GET {PATH}?token= HTTP/1.1", Authorization=None), 401),
        (request(f"GET {PATH}?token=T HTTP/1.1", Authorization="Basic eDp5"), 401),
        (request(Bad__name="x").replace(b"Bad--name", b"Bad name"), 400),
        (request(**{"Sec_WebSocket_Key": f"{KEY}\r\nSec-WebSocket-Key: {KEY}"}), 400),
        (request(Host="x\r\n folded"), 400),
        (request(Host="x\ny"), 400),
        (request(Host="x\rX-Other: y"), 400),
        (request("GET /v1/ws\r HTTP/1.1"), 400),
        (request(Host="x\x00"), 400),
        (request(Host="ü"), 400),
        (b"\x16\x03\x01\x02\x00", 400),  # a TLS hello
        (b"\r\n\r\n", 400),
        (b"x" * (MAX_REQUEST + 1), 431),
        (request(X="y" * MAX_REQUEST), 431),
    ],
)
def test_refused(data: bytes, status: int) -> None:
    assert status_of(data) == status


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: request(X=text.replace("\r\n", ""))))
def test_noise_is_incomplete_or_refused_or_accepted(data: bytes) -> None:
    try:
        parsed = read_request(data)
        if parsed is not None:
            check_upgrade(parsed)
    except HandshakeError as error:
        assert error.status in {400, 401, 404, 405, 426, 431}
