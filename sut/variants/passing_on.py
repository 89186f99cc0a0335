"""No variant: what those that spoil a registry are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sut.ports import Registry, Route


class PassingOn:
    """A registry that does everything as the one behind it. A variant overrides what it does worse."""

    def __init__(self, inner: Registry) -> None:
        self.inner = inner

    async def lease(self, node: str, incarnation: int, ttl_s: float, address: str) -> None:
        """As the port says."""
        await self.inner.lease(node, incarnation, ttl_s, address)

    async def release(self, node: str, incarnation: int) -> None:
        """As the port says."""
        await self.inner.release(node, incarnation)

    async def gateways(self) -> dict[str, tuple[int, str]]:
        """As the port says."""
        return await self.inner.gateways()

    async def register(self, routes: Sequence[tuple[int, Route]]) -> list[Route | None]:
        """As the port says."""
        return await self.inner.register(routes)

    async def replaced(self, node: str, incarnation: int) -> list[int]:
        """As the port says."""
        return await self.inner.replaced(node, incarnation)

    async def unregister(self, routes: Sequence[tuple[int, Route]]) -> None:
        """As the port says."""
        await self.inner.unregister(routes)

    async def routes(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        """As the port says."""
        return await self.inner.routes(users)

    async def lapsed(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        """As the port says."""
        return await self.inner.lapsed(users)

    async def close(self) -> None:
        """As the port says."""
        await self.inner.close()
