"""Who is connected where, and who is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class Route(msgspec.Struct, frozen=True, array_like=True):
    """Where a device is connected. Valid only while the lease of (node, incarnation) lives."""

    device: int
    node: str
    incarnation: int
    conn: int  # unique within the incarnation, never reused
    epoch: int  # rises with each connection of the device


class Registry(Protocol):
    """Who is connected where. Losing all of it costs latency, never a message."""

    async def lease(self, node: str, incarnation: int, ttl_s: float, address: str) -> None:
        """Take or renew the lease of a gateway incarnation; `address` is what clients dial."""

    async def release(self, node: str, incarnation: int) -> None:
        """End the lease, if it is still this incarnation's."""

    async def gateways(self) -> dict[str, tuple[int, str]]:
        """Live leases: node -> (incarnation, address)."""

    async def register(self, routes: Sequence[tuple[int, Route]]) -> list[Route | None]:
        """Put (user, route)s in; an entry with a newer epoch stays. Returns what each replaced."""

    async def replaced(self, node: str, incarnation: int) -> list[int]:
        """Some of the connections of this incarnation whose device has registered a newer one at another node.

        Each is told once, soon after; some may never be (then the gateway finds out as it writes its routes again).
        """

    async def unregister(self, routes: Sequence[tuple[int, Route]]) -> None:
        """Compare and delete: removes an entry only if it is exactly this connection's."""

    async def routes(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        """Routes of these users whose lease lives. One round trip for all of them."""

    async def lapsed(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        """Routes of these users whose lease has ended and which nobody has taken out: where they were last."""

    async def close(self) -> None:
        """Release connections."""


class Presence(Protocol):
    """Who is there, on any gateway, and when they last were. Losing all of it makes pictures old, nothing else."""

    @property
    def generation(self) -> int:
        """Rises when what was written before may be gone: write it again."""

    async def here(self, node: str, incarnation: int, users: Sequence[int]) -> None:
        """These users are connected to this incarnation of a gateway. Holds for the presence's time to live."""

    async def gone(self, node: str, incarnation: int, users: Sequence[int]) -> None:
        """They no longer are; what other gateways or incarnations said of them stands. They were last seen now."""

    async def look(self, users: Sequence[int]) -> Mapping[int, tuple[bool, int]]:
        """Of each user: online, and when last seen in Unix ms (0: not known). One round trip for some hundreds."""

    async def close(self) -> None:
        """Release connections."""
