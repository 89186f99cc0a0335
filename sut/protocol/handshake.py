"""The upgrade of a device's connection, both halves: HTTP/1.1 as far as a WebSocket needs it. Pure functions.

The request is bounded (8 KB). Line ends, header names and doubled headers are checked strictly, because lax parsing is
how servers get fooled. Every refusal is a status and one line of text that says what to change. Offered extensions and
subprotocols are declined by leaving them out of the answer, as in RFC 6455.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Final, NamedTuple

MAX_REQUEST: Final = 8192
"""The largest request in bytes: request line and headers together."""
PATH: Final = "/v1/ws"
HEALTH_PATH: Final = "/v1/health"
_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_END: Final = b"\r\n\r\n"
_ALLOWED: Final = bytes([*range(0x20, 0x7F), *b"\r\n\t"])
_STATUS_LINE: Final = re.compile(r"HTTP/1\.1 ([1-5][0-9][0-9])(?: [^\r\n]*)?")
_REQUEST_LINE: Final = re.compile(r"([A-Z]+) (/[^\s]*) HTTP/1\.1")
_HEADER: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n]*?)[ \t]*")
_PHRASES: Final = {
    101: "Switching Protocols",
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    426: "Upgrade Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
_LISTS: Final = frozenset(("connection", "upgrade", "sec-websocket-extensions", "sec-websocket-protocol"))
_SINGLE: Final = frozenset(
    ("authorization", "content-length", "host", "sec-websocket-key", "sec-websocket-version", "transfer-encoding")
)


class HandshakeError(ValueError):
    """The request is answered with an HTTP status, and the connection closes. The text is the body, one line."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Request(NamedTuple):
    """A parsed request. Header names are in lower case; `rest` holds the bytes after the headers."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    rest: bytes


class Upgrade(NamedTuple):
    """A valid upgrade request: the key to answer, and the token, not verified yet."""

    key: str
    token: str
    log: bool = False
    """True if WELCOME may name the log (`log=1` in the query)."""


def read_request(data: bytes) -> Request | None:
    """Parse the request at the start of the stream; None while it is incomplete. Raises HandshakeError."""
    end = data.find(_END)
    head = data if end < 0 else data[:end]
    if head.translate(None, _ALLOWED):
        raise HandshakeError(400, "not an HTTP request: bytes that are not ASCII text")
    if len(head) > MAX_REQUEST:
        raise HandshakeError(431, f"request line and headers over {MAX_REQUEST} bytes")
    if end < 0:
        return None
    request_line, *lines = head.decode("ascii").split("\r\n")
    match = _REQUEST_LINE.fullmatch(request_line)
    if match is None:
        raise HandshakeError(400, "the request line is not METHOD /path HTTP/1.1")
    path, _, query = match[2].partition("?")
    return Request(match[1], path, query, _headers(lines), data[end + len(_END) :])


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _HEADER.fullmatch(line)
        if match is None:
            raise HandshakeError(400, f"header line {number} is not NAME: VALUE")
        name, value = match[1].lower(), match[2]
        if name not in headers or (name not in _SINGLE and name not in _LISTS):
            headers[name] = value
        elif name in _LISTS:
            headers[name] += "," + value
        else:
            raise HandshakeError(400, f"header {name} twice")
    return headers


def check_upgrade(request: Request) -> Upgrade:
    """Check a request for PATH. Raises HandshakeError: 404, 405, 400, 426 or 401, in that order."""
    headers = request.headers
    if request.path != PATH:
        raise HandshakeError(404, f"no such path; connect to {PATH}")
    if request.method != "GET":
        raise HandshakeError(405, "the upgrade is a GET")
    if "host" not in headers:
        raise HandshakeError(400, "header host is missing")
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        raise HandshakeError(400, "an upgrade request has no body")
    if "websocket" not in _tokens(headers, "upgrade") or "upgrade" not in _tokens(headers, "connection"):
        raise HandshakeError(426, "this is a WebSocket: Connection: Upgrade and Upgrade: websocket are missing")
    if headers.get("sec-websocket-version") != "13":
        raise HandshakeError(426, "sec-websocket-version must be 13")
    key = headers.get("sec-websocket-key", "")
    if not _is_key(key):
        raise HandshakeError(400, "sec-websocket-key is not 16 bytes in base64")
    return Upgrade(key, _token(request), "log=1" in request.query.split("&"))


def _tokens(headers: dict[str, str], name: str) -> list[str]:
    return [token.strip().lower() for token in headers.get(name, "").split(",")]


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if "authorization" not in request.headers:
        for pair in request.query.split("&"):
            name, _, value = pair.partition("=")
            if name == "token" and value:  # a JWT has no character that a URL would have to escape
                return value
    raise HandshakeError(401, "no token: send Authorization: Bearer TOKEN, or ?token=TOKEN")


def accept_key(key: str) -> str:
    """Return the Sec-WebSocket-Accept value that answers a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()).decode()


def accepted(key: str) -> bytes:
    """Return the 101 response, without extensions or subprotocol."""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
    ).encode()


def response(status: int, text: str) -> bytes:
    """Return a whole plain-text response of one line. The connection closes after it."""
    body = text.encode() + b"\n"
    extra = {
        401: 'WWW-Authenticate: Bearer realm="petrel"\r\n',
        405: "Allow: GET\r\n",
        426: "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        429: "Retry-After: 1\r\n",
    }.get(status, "")
    connection = "close, Upgrade" if status == 426 else "close"
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n{extra}Connection: {connection}\r\n\r\n"
    )
    return head.encode() + body


def log_name(log_id: str) -> bytes:
    """Return the name of this log in WELCOME: an 8-byte hash of its id."""
    return hashlib.blake2b(log_id.encode(), digest_size=8).digest()


def upgrade_request(target: str, host: str, key: str, token: str) -> bytes:
    """Return a device's upgrade request. `target`: path and query; `host`: with the port if the URL has one."""
    return (
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode("ascii")


class Response(NamedTuple):
    """A parsed response. Header names are in lower case; `rest` holds the bytes after the headers."""

    status: int
    headers: dict[str, str]
    rest: bytes


def read_response(data: bytes) -> Response | None:
    """Parse the response at the start of the stream; None while its headers are incomplete. Raises HandshakeError."""
    end = data.find(_END)
    head = data if end < 0 else data[:end]
    if len(head) > MAX_REQUEST or head.translate(None, _ALLOWED):
        raise HandshakeError(400, "the answer is not an HTTP response of bounded length")
    if end < 0:
        return None
    status_line, *lines = head.decode("ascii").split("\r\n")
    match = _STATUS_LINE.fullmatch(status_line)
    if match is None:
        raise HandshakeError(400, "the answer is not an HTTP/1.1 response")
    return Response(int(match[1]), _headers(lines), data[end + len(_END) :])


def check_accepted(response: Response, key: str) -> None:
    """Check the 101 that answers this key. Raises HandshakeError with the status of any other response."""
    headers = response.headers
    if response.status != 101:
        raise HandshakeError(response.status, f"server rejected WebSocket connection: HTTP {response.status}")
    if _tokens(headers, "upgrade") != ["websocket"] or "upgrade" not in _tokens(headers, "connection"):
        raise HandshakeError(101, "the answer is no upgrade to a WebSocket")
    if headers.get("sec-websocket-accept") != accept_key(key):
        raise HandshakeError(101, "the answer belongs to another key")
    if "sec-websocket-extensions" in headers or "sec-websocket-protocol" in headers:
        raise HandshakeError(101, "the answer names what was not offered")
