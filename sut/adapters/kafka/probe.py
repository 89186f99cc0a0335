"""Probes one Kafka broker from outside: nodes it believes alive, leaders, nodes in sync, the controller.

It speaks a few frames of the protocol over its own socket. A probe must not start a client with its tasks, must not ask
any other broker, and must end in time. https://kafka.apache.org/protocol.html (Metadata version 7, DescribeQuorum
version 0, SaslHandshake version 1, SaslAuthenticate version 0)
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from sut.adapters.shared.dial import dial
from sut.deploy.logins import Login
from sut.ports import Unavailable

Address = tuple[str, int]
T = TypeVar("T")

_METADATA, _METADATA_VERSION = 3, 7
_DESCRIBE_QUORUM, _QUORUM_VERSION = 55, 0
_SASL_HANDSHAKE, _HANDSHAKE_VERSION = 17, 1
_SASL_AUTHENTICATE, _AUTHENTICATE_VERSION = 36, 0
_CORRELATION: Final = 1
_CLIENT: Final = b"probe"
_QUORUM_TOPIC: Final = b"__cluster_metadata"
_UNKNOWN_TOPIC: Final = 3
_MAX_ANSWER: Final = 4 << 20


@dataclass(frozen=True, kw_only=True)
class KafkaView:
    """The cluster as one broker reports it. A stopped or cut-off broker reports what it last knew."""

    node_ids: frozenset[int]
    """Brokers that this one believes alive."""
    leaders: Mapping[int, int]
    """Partition of the topic -> leading node. A partition without a leader is left out. Empty without the topic."""
    isr: Mapping[int, frozenset[int]]
    """Partition -> the nodes in sync."""
    replicas: Mapping[int, frozenset[int]]
    """Partition -> the nodes that have a copy, in sync or not."""


def view(address: Address, timeout_s: float, topic: str, login: Login | None = None) -> KafkaView:
    """Query the broker once. Raises Unavailable if it does not answer in time."""
    body = struct.pack(">i", 1) + _text(topic.encode()) + b"\0"  # 0: do not create the topic
    header = _header(_METADATA, _METADATA_VERSION)
    return _ask(address, timeout_s, header + body, _read_view, login)


def brokers(address: Address, timeout_s: float, login: Login | None = None) -> Mapping[int, Address]:
    """Map each node that this broker believes alive to the address that clients dial. Raises Unavailable."""
    header = _header(_METADATA, _METADATA_VERSION)
    return _ask(address, timeout_s, header + struct.pack(">ib", 0, 0), _read_brokers, login)  # no topics


def controller(address: Address, timeout_s: float) -> int:
    """Return the controller's node, as the quorum says through this broker. Raises Unavailable, also without one."""
    partitions = b"\x02" + struct.pack(">i", 0) + b"\0"  # a compact array of one
    body = b"\x02" + bytes([len(_QUORUM_TOPIC) + 1]) + _QUORUM_TOPIC + partitions + b"\0" + b"\0"
    header = _header(_DESCRIBE_QUORUM, _QUORUM_VERSION) + b"\0"
    return _ask(address, timeout_s, header + body, _read_controller)


class _Answer:
    """Reads an answer's fields one after the other. Raises struct.error beyond the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def take(self, form: str) -> int:
        (value,) = struct.unpack_from(f">{form}", self._data, self._place)
        self._place += struct.calcsize(f">{form}")
        return int(value)

    def skip_text(self) -> None:
        length = self.take("h")  # moves _place, so it must not be evaluated inside the next expression
        self._place += max(0, length)

    def text(self) -> str:
        length = self.take("h")
        self._place += length
        return self._data[self._place - length : self._place].decode(errors="replace")

    def nullable(self) -> str:
        length = self.take("h")
        self._place += max(0, length)
        return self._data[self._place - max(0, length) : self._place].decode(errors="replace")

    def data(self) -> bytes:
        length = self.take("i")
        self._place += max(0, length)
        return self._data[self._place - max(0, length) : self._place]

    def compact_text(self) -> bytes:
        length = self.varint() - 1
        self._place += max(0, length)
        return self._data[self._place - max(0, length) : self._place]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.take("B")
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def nodes(self) -> frozenset[int]:
        return frozenset(self.take("i") for _ in range(self.take("i")))


def _read_brokers(answer: _Answer) -> dict[int, Address]:
    answer.take("i")  # throttle time
    found = {}
    for _ in range(answer.take("i")):
        node, host, port = answer.take("i"), answer.text(), answer.take("i")
        answer.skip_text()  # rack
        found[node] = (host, port)
    return found


def _read_view(answer: _Answer) -> KafkaView:
    nodes = _read_brokers(answer).keys()
    answer.skip_text()  # cluster id
    answer.take("i")  # a broker that forwards requests to the controller
    leaders, isr, replicas = {}, {}, {}
    for _ in range(answer.take("i")):
        if (code := answer.take("h")) not in (0, _UNKNOWN_TOPIC):
            raise _Odd(f"error {code} for the topic")
        answer.skip_text()
        answer.take("b")  # internal?
        for _ in range(answer.take("i")):
            answer.take("h")  # error
            partition, leader = answer.take("i"), answer.take("i")
            answer.take("i")  # leader epoch
            replicas[partition], isr[partition] = answer.nodes(), answer.nodes()
            answer.nodes()  # offline
            if leader >= 0:
                leaders[partition] = leader
    return KafkaView(node_ids=frozenset(nodes), leaders=leaders, isr=isr, replicas=replicas)


def _read_controller(answer: _Answer) -> int:
    answer.varint()  # tagged fields of the header
    if code := answer.take("h"):
        raise _Odd(f"error {code} for the quorum")
    if answer.varint() != 2 or answer.compact_text() != _QUORUM_TOPIC or answer.varint() != 2:
        raise _Odd("an answer about something else")
    answer.take("i")  # partition
    if code := answer.take("h"):
        raise _Odd(f"error {code} for the quorum")
    leader = answer.take("i")
    if leader < 0:
        raise _Odd("no controller")
    return leader


class _Odd(Exception):
    """The answer does not fit the question."""


def _ask(
    address: Address, timeout_s: float, request: bytes, read: Callable[[_Answer], T], login: Login | None = None
) -> T:
    name = f"kafka {address[0]}:{address[1]}"
    deadline = time.monotonic() + timeout_s
    try:
        with dial(address, timeout_s, login) as connection:
            if login is not None and login.password:
                _log_in(connection, login, deadline)
            return read(_exchange(connection, request, deadline))
    except (OSError, _Odd) as error:
        raise Unavailable(f"{name}: {error}") from None
    except struct.error:
        raise Unavailable(f"{name}: an answer that ends too early") from None


def _exchange(connection: socket.socket, request: bytes, deadline: float) -> _Answer:
    """Return the answer to a request, after its header. Raises OSError, _Odd, struct.error."""
    connection.sendall(struct.pack(">i", len(request)) + request)
    (size,) = struct.unpack(">i", _receive(connection, 4, deadline))
    if not 4 <= size <= _MAX_ANSWER:
        raise _Odd("answers, but not as a Kafka")
    answer = _Answer(_receive(connection, size, deadline))
    if answer.take("i") != _CORRELATION:
        raise _Odd("answers, but not as a Kafka")
    return answer


def _log_in(connection: socket.socket, login: Login, deadline: float) -> None:
    """Log in by SASL. Raises OSError, _Odd, struct.error."""
    request = _header(_SASL_HANDSHAKE, _HANDSHAKE_VERSION) + _text(login.mechanism.encode())
    answer = _exchange(connection, request, deadline)
    if answer.take("h"):
        offered = ", ".join(answer.text() for _ in range(answer.take("i")))
        raise _Odd(f"takes no login by {login.mechanism}, but by {offered}")
    tokens = _tokens(login)
    token = next(tokens)
    while token is not None:
        header = _header(_SASL_AUTHENTICATE, _AUTHENTICATE_VERSION)
        answer = _exchange(connection, header + struct.pack(">i", len(token)) + token, deadline)
        code, text = answer.take("h"), answer.nullable()
        if code:
            raise _Odd(f"refuses the login of {login.user}: {text or f'error {code}'}")
        try:
            token = tokens.send(answer.data())
        except ValueError as error:
            raise _Odd(f"cannot prove that it knows {login.user}: {error}") from None


def _tokens(login: Login) -> Generator[bytes | None, bytes, None]:
    """Yield each token of the client and take the server's answer to it; None at the end. Raises ValueError."""
    from aiokafka import conn  # it takes 0.2 s to import, and most brokers ask for no login

    names = {"loop": None, "sasl_plain_username": login.user, "sasl_plain_password": login.password}
    steps = (
        conn.SaslPlainAuthenticator(**names).authenticator_plain()
        if login.mechanism == "PLAIN"
        else conn.ScramAuthenticator(**names, sasl_mechanism=login.mechanism).authenticator_scram()
    )
    token, _ = next(steps)
    while True:
        answer = yield token
        try:
            token, _ = steps.send(answer)
        except StopIteration:
            break
    yield None


def _receive(connection: socket.socket, size: int, deadline: float) -> bytes:
    received = b""
    while len(received) < size:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        connection.settimeout(left)
        part = connection.recv(size - len(received))
        if not part:
            raise ConnectionResetError("closed the connection")
        received += part
    return received


def _header(key: int, version: int) -> bytes:
    return struct.pack(">hhi", key, version, _CORRELATION) + _text(_CLIENT)


def _text(value: bytes) -> bytes:
    return struct.pack(">h", len(value)) + value
