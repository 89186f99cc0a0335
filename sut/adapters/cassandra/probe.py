"""Probes one Cassandra node from outside: it answers, it hears these heartbeats, this many replicas answer it.

It speaks a few frames of the native protocol over its own socket. A probe must not start a driver with its threads,
must not ask any other node, and must end in time. Rows are read as JSON, so that each is one text.
https://cassandra.apache.org/doc/latest/cassandra/reference/native-protocol.html (version 4)
"""

from __future__ import annotations

import contextlib
import json
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sut.adapters.shared.dial import dial
from sut.deploy.logins import Login
from sut.ports import Unavailable

Address = tuple[str, int]

_VERSION: Final = 4
_STARTUP, _READY, _QUERY, _RESULT, _ERROR = 0x01, 0x02, 0x07, 0x08, 0x00
_AUTHENTICATE, _AUTH_RESPONSE, _AUTH_SUCCESS = 0x03, 0x0F, 0x10
_ONE, _ALL = 0x0001, 0x0005
_ROWS: Final = 2
_NO_METADATA: Final = 0x02
"""QUERY flag: leave out the description of the columns, which here is always one text."""
_UNAVAILABLE, _READ_TIMEOUT = 0x1000, 0x1200
_BAD_CREDENTIALS: Final = 0x0100
_MAX_FRAME: Final = 4 << 20

_GOSSIP: Final = "SELECT JSON address, generation, heartbeat FROM system_views.gossip_info"
_LOCAL: Final = "SELECT JSON rpc_address FROM system.local"
_OWN: Final = "SELECT JSON data_center, rpc_address, rpc_port FROM system.local"
_OTHERS: Final = "SELECT JSON data_center, native_address, native_port FROM system.peers_v2"
# A table that every cluster has with three replicas. The partition is empty; only the replicas' answers count.
_REPLICATED: Final = (
    "SELECT JSON status FROM system_distributed.view_build_status"
    " WHERE keyspace_name = 'petrel' AND view_name = 'probe'"
)


@dataclass(frozen=True, kw_only=True)
class CassandraView:
    """One node's report about itself and the others."""

    host: str
    """Its own address, as it is told to clients."""
    heartbeats: Mapping[str, tuple[int, int]]
    """By address, itself included: (generation, heartbeat) as last heard. A living node's heartbeat rises every
    second; a restart raises the generation."""

    def heard_since(self, earlier: CassandraView) -> frozenset[str]:
        """Nodes whose heartbeat advanced between the two views. Two seconds between them suffice on an idle machine."""
        return frozenset(host for host, beat in self.heartbeats.items() if beat > earlier.heartbeats.get(host, (0, 0)))


@dataclass(frozen=True, kw_only=True)
class Replicas:
    """The replicas of a partition that one coordinator counts."""

    alive: int
    required: int


class _Refused(Exception):
    """The node sent an ERROR frame."""

    def __init__(self, code: int, text: str, rest: bytes) -> None:
        super().__init__(text)
        self.code = code
        self.rest = rest


def view(address: Address, timeout_s: float, login: Login | None = None) -> CassandraView:
    """Query the node once. Raises Unavailable if it does not answer in time or refuses."""
    with _Session(address, timeout_s, login) as session:
        local = session.rows(_LOCAL, _ONE)
        beats = session.rows(_GOSSIP, _ONE)
    return CassandraView(
        host=str(local[0]["rpc_address"]),
        heartbeats={str(row["address"]): (_int(row["generation"]), _int(row["heartbeat"])) for row in beats},
    )


def replicas(address: Address, timeout_s: float, login: Login | None = None) -> Replicas:
    """Read with consistency ALL through this node. Return how many of three replicas it believes alive or answered it.

    Raises Unavailable when the node itself does not answer in time (its own read time-out may be longer).
    """
    with _Session(address, timeout_s, login) as session:
        try:
            session.rows(_REPLICATED, _ALL)
        except _Refused as error:
            if error.code == _UNAVAILABLE:
                _, required, alive = struct.unpack_from(">Hii", error.rest)
                return Replicas(alive=alive, required=required)
            if error.code == _READ_TIMEOUT:
                _, received, required = struct.unpack_from(">Hii", error.rest)
                return Replicas(alive=received, required=required)
            raise Unavailable(f"{session.name}: {error}") from None
    return Replicas(alive=3, required=3)


def members(address: Address, timeout_s: float, login: Login | None = None) -> tuple[Address, ...]:
    """The addresses that clients dial in this node's data centre, its own first. Raises Unavailable."""
    with _Session(address, timeout_s, login) as session:
        (own,) = session.rows(_OWN, _ONE)
        others = session.rows(_OTHERS, _ONE)
    return (
        (str(own["rpc_address"]), _int(own["rpc_port"])),
        *(
            (str(row["native_address"]), _int(row["native_port"]))
            for row in others
            if row["data_center"] == own["data_center"]
        ),
    )


class _Session:
    """One connection that asks one question at a time, all before one deadline."""

    def __init__(self, address: Address, timeout_s: float, login: Login | None) -> None:
        self.name = f"cassandra {address[0]}:{address[1]}"
        self._deadline = time.monotonic() + timeout_s
        self._address = address
        self._login = login
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> _Session:
        try:
            self._socket = self._stack.enter_context(dial(self._address, self._left(), self._login))
            key, value = b"CQL_VERSION", b"3.0.0"
            options = struct.pack(">HH", 1, len(key)) + key + struct.pack(">H", len(value)) + value
            if self._ask(_STARTUP, options)[0] == _AUTHENTICATE:
                self._log_in()
        except (OSError, _Refused) as error:
            self._stack.close()
            raise Unavailable(f"{self.name}: {error}") from None
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._stack.close()
        if isinstance(error, OSError | _Refused):
            raise Unavailable(f"{self.name}: {error}") from None

    def rows(self, query: str, consistency: int) -> list[dict[str, object]]:
        """Return the rows of a SELECT JSON. Raises _Refused, OSError."""
        text = query.encode()
        _, body = self._ask(_QUERY, struct.pack(">i", len(text)) + text + struct.pack(">HB", consistency, _NO_METADATA))
        kind, _, columns = struct.unpack_from(">iii", body)
        if kind != _ROWS or columns != 1:
            raise Unavailable(f"{self.name}: an answer that is not rows of one column")
        (count,) = struct.unpack_from(">i", body, 12)
        place, found = 16, []
        for _ in range(count):
            (size,) = struct.unpack_from(">i", body, place)
            found.append(json.loads(body[place + 4 : place + 4 + size]))
            place += 4 + size
        return found

    def _log_in(self) -> None:
        if self._login is None or not self._login.password:
            raise Unavailable(f"{self.name}: asks for a password")
        token = f"\0{self._login.user}\0{self._login.password}".encode()
        try:
            if self._ask(_AUTH_RESPONSE, struct.pack(">i", len(token)) + token)[0] != _AUTH_SUCCESS:
                raise Unavailable(f"{self.name}: asks for more than a password")
        except _Refused as error:
            if error.code != _BAD_CREDENTIALS:
                raise
            raise Unavailable(f"{self.name}: refuses the login of {self._login.user}: {error}") from None

    def _ask(self, opcode: int, body: bytes) -> tuple[int, bytes]:
        self._socket.settimeout(self._left())
        self._socket.sendall(struct.pack(">BBhBi", _VERSION, 0, 1, opcode, len(body)) + body)
        _, _, _, answer, size = struct.unpack(">BBhBi", self._receive(9))
        if not 0 <= size <= _MAX_FRAME:
            raise Unavailable(f"{self.name}: answers, but not as a Cassandra")
        received = self._receive(size)
        if answer == _ERROR:
            code, length = struct.unpack_from(">iH", received)
            raise _Refused(code, received[6 : 6 + length].decode(errors="replace"), received[6 + length :])
        return answer, received

    def _receive(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            self._socket.settimeout(self._left())
            part = self._socket.recv(size - len(received))
            if not part:
                raise ConnectionResetError("closed the connection")
            received += part
        return received

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left


def _int(value: object) -> int:
    return int(str(value))
