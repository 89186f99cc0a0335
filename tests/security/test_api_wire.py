"""The API's socket under requests that are no good HTTP, and bodies that grow when unpacked; the whole system."""

import gzip
import re
import socket
import zlib

import psutil
import pytest

from tests.security.people import Api

pytestmark = [pytest.mark.long, pytest.mark.slow]

BAD = {
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunked": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "signed length": b"Content-Length: +2\r\n\r\n{}",
    "chunk length with a sign": b"Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "folded header": b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "NUL in a value": b"X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "space before the colon": b"Content-Length : 2\r\n\r\n{}",
    "headers over 8 KB": b"X: " + b"y" * 20_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "bare LF": b"X: a\nContent-Length: 2\r\n\r\n{}",
}


def said(topology, request: bytes) -> bytes:
    """All that the API answers until it hangs up, or is silent for a second."""
    api = topology.of_kind("api")[0]
    answer = b""
    with socket.create_connection((api.host, api.ports["http"]), timeout=1) as sock:
        sock.sendall(request)
        try:
            while data := sock.recv(65536):
                answer += data
        except TimeoutError:
            pass
    return answer


@pytest.mark.parametrize("rest", BAD.values(), ids=BAD)
def test_what_could_be_read_in_two_ways_is_refused(running, rest):
    topology = running.topology
    head = b"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    hidden = b"GET /v1/discovery HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = said(topology, head + rest + hidden)
    assert answer.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 ", b"HTTP/1.0 431 ")), answer[:200]
    assert len(re.findall(rb"HTTP/1\.[01] \d", answer)) == 1, "what follows is no second request"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_grows_when_it_is_unpacked_is_refused_small(running, encoding):
    topology = running.topology
    bomb = gzip.compress(bytes(200 << 20), 9) if encoding == "gzip" else zlib.compress(bytes(200 << 20), 9)
    process = psutil.Process(running.pid("api-1"))
    before = process.memory_info().rss
    head = (
        f"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {topology.api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(bomb)}\r\n\r\n"
    )
    answer = said(topology, head.encode() + bomb)
    assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 ")), answer[:200]
    assert process.memory_info().rss - before < 64 << 20
    assert Api(topology).call("GET", "/v1/health") == {"status": "ok"}
