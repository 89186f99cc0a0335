"""Which gateway each device is connected to, and which users are online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class Route(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The connection of a device. Valid only while the lease of (node, incarnation) lives."""

    device: int
    node: str
    incarnation: int
    conn: int  # unique within the incarnation, never reused
    epoch: int  # rises with each connection of the device


class Registry(Protocol):
    """The routes of connected devices. Losing all of it costs latency, never a message."""

    @property
    def generation(self) -> int:
        """Rises when leases and routes may be lost, as another server answers; the caller then writes them again."""

    @property
    def certain_s(self) -> float:
        """Until when others certainly saw what was written here, on the monotonic clock; minus infinity: never yet.

        It is the past, also while all is well. When `generation` has risen, it is a time of the server before.
        """

    async def lease(self, node: str, incarnation: int, ttl_s: float, address: str) -> None:
        """Take or renew the lease of a gateway incarnation; `address` is what clients dial."""

    async def release(self, node: str, incarnation: int) -> None:
        """End the lease if this incarnation holds it."""

    async def gateways(self) -> dict[str, tuple[int, str]]:
        """Live leases: node -> (incarnation, address)."""

    async def register(self, routes: Sequence[tuple[int, Route]]) -> list[Route | None]:
        """Store (user, route)s; an entry with a newer epoch stays. Returns the entry before each, or None."""

    async def replaced(self, node: str, incarnation: int) -> list[int]:
        """Return some connections of this incarnation whose device has registered a newer one at another node.

        Each is reported once, soon after; some may be missed (the gateway then finds out when it renews its routes).
        """

    async def unregister(self, routes: Sequence[tuple[int, Route]]) -> None:
        """Compare and delete: remove an entry only if it is exactly this connection's."""

    async def routes(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        """Routes of these users whose lease lives. One round trip for all of them."""

    async def lapsed(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        """Routes of these users whose lease has ended and that nobody has removed: the last known places."""

    async def close(self) -> None:
        """Release the connections to the backend."""


class Presence(Protocol):
    """Which users are online on any gateway, and when they were last seen. Losing it makes this stale, no more."""

    @property
    def generation(self) -> int:
        """Rises when earlier entries may be lost; the caller then writes them again."""

    async def here(self, node: str, incarnation: int, users: Sequence[int]) -> None:
        """Record that these users are connected to this gateway incarnation. Holds for the presence's time to live."""

    async def gone(self, node: str, incarnation: int, users: Sequence[int]) -> None:
        """Record that they left and were last seen now. Entries of other gateways or incarnations stay."""

    async def look(self, users: Sequence[int]) -> Mapping[int, tuple[bool, int]]:
        """Map each user to (online, last seen in Unix ms; 0: not known). One round trip for some hundreds."""

    async def close(self) -> None:
        """Release the connections to the backend."""
