"""Limits on what one address and one user may use of a gateway. The limits of one connection are in its session.

An address is checked before a byte of it is read, a user when the token has been verified. Every count here is bounded
by what is open now or by what came in one second; nothing is kept of connections that are gone. The defaults suit a
machine that holds a whole swarm behind one address, or a proxy in front of many gateways. A public gateway should use
lower ones.
"""

from __future__ import annotations

import socket
from typing import Final, Generic, Protocol, TypeVar

from sut.deploy.topology import Settings

TURNED_AWAY: Final = 64
"""Sockets of one address beyond its limit that get an answer; more are cut without one."""


def address_of(host: str) -> str:
    """Return the address to count: the /64 network of an IPv6 address, the IPv4 address of one mapped into IPv6."""
    if ":" not in host:
        return host
    packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    if packed[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed[:8] + bytes(8))


class Owned(Protocol):
    """A connection, which belongs to a user and a device."""

    user: int
    device: int


C = TypeVar("C", bound=Owned)


class Limits(Generic[C]):
    """The counts of one gateway. `second` is in whole seconds of the gateway's clock."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sockets: dict[str, int] = {}
        self._came: dict[str, int] = {}  # in this second
        self._users: dict[int, C | tuple[C, ...]] = {}
        """The open connections of each user; without a tuple where there is one, as mostly."""
        self._frames: dict[int, int] = {}  # in this second, by user
        self._second = 0
        self.crowded = 0
        """Sockets refused because of their address."""
        self.users_full = 0
        """Upgrades refused because the user has enough devices here."""
        self.users_fast = 0
        """Frames refused because the user's devices together send too many."""

    # Addresses.

    def came(self, address: str, second: int) -> int:
        """Count a socket of this address. Returns 0: accept, 1: refuse, 2: cut it. `gone` must follow each call."""
        self._turn(second)
        settings = self._settings
        sockets = self._sockets[address] = self._sockets.get(address, 0) + 1
        came = self._came[address] = self._came.get(address, 0) + 1
        beyond = max(sockets - settings.address_connections, came - settings.address_handshakes_per_s)
        if beyond <= 0:
            return 0
        self.crowded += 1
        return 1 if beyond <= TURNED_AWAY else 2

    def gone(self, address: str) -> None:
        """Stop counting a socket of this address."""
        left = self._sockets[address] - 1
        if left:
            self._sockets[address] = left
        else:
            del self._sockets[address]

    # Users.

    def older(self, user: int, device: int) -> C | None:
        """Return the open connection that this device has here; None if it has none."""
        for connection in self._of(user):
            if connection.device == device:
                return connection
        return None

    def admits(self, user: int, device: int) -> bool:
        """Return True if a connection of this device fits. A device that is here already replaces itself."""
        there = self._of(user)
        if len(there) < self._settings.user_connections or self.older(user, device) is not None:
            return True
        self.users_full += 1
        return False

    def opened(self, connection: C) -> None:
        there = self._of(connection.user)
        self._users[connection.user] = (*there, connection) if there else connection

    def left(self, connection: C) -> None:
        rest = tuple(other for other in self._of(connection.user) if other is not connection)
        if rest:
            self._users[connection.user] = rest if len(rest) > 1 else rest[0]
        else:
            del self._users[connection.user]

    def _of(self, user: int) -> tuple[C, ...]:
        there = self._users.get(user, ())
        return there if isinstance(there, tuple) else (there,)

    def too_fast(self, user: int, frames: int, second: int) -> bool:
        """Count frames of a user. Returns True if the user's devices together have sent too many in this second."""
        self._turn(second)
        count = self._frames[user] = self._frames.get(user, 0) + frames
        if count <= self._settings.user_frames_per_s:
            return False
        self.users_fast += frames
        return True

    def _turn(self, second: int) -> None:
        if second != self._second:
            self._second = second
            self._came.clear()
            self._frames.clear()

    def gauges(self) -> dict[str, float]:
        return {
            "addresses": float(len(self._sockets)),
            "users": float(len(self._users)),
            "refused_address": float(self.crowded),
            "refused_user": float(self.users_full),
            "frames_refused_user": float(self.users_fast),
        }
