"""The base of the variants that spoil a registry. No variant itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sut.ports import Registry, Route


class PassingOn:
    """Passes every call to the registry behind it. A variant overrides what it does worse."""

    def __init__(self, inner: Registry) -> None:
        self.inner = inner

    async def lease(self, node: str, incarnation: int, ttl_s: float, address: str) -> None:
        await self.inner.lease(node, incarnation, ttl_s, address)

    async def release(self, node: str, incarnation: int) -> None:
        await self.inner.release(node, incarnation)

    async def gateways(self) -> dict[str, tuple[int, str]]:
        return await self.inner.gateways()

    async def register(self, routes: Sequence[tuple[int, Route]]) -> list[Route | None]:
        return await self.inner.register(routes)

    async def replaced(self, node: str, incarnation: int) -> list[int]:
        return await self.inner.replaced(node, incarnation)

    async def unregister(self, routes: Sequence[tuple[int, Route]]) -> None:
        await self.inner.unregister(routes)

    async def routes(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        return await self.inner.routes(users)

    async def lapsed(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        return await self.inner.lapsed(users)

    async def close(self) -> None:
        await self.inner.close()
