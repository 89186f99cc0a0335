"""Notifications while the registry is away: by announced routes, and once more when somebody says where a user is."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence

from sut.ports import Route, Unavailable
from sut.process.peer import PeerLink
from sut.protocol.peer import Announce, Deliveries, Missed
from sut.services.sequencer.emitter import Emitter, Notification
from tests.kit.waits import until
from tests.sut.services.test_edge import HOST, Gateway


class Registry:
    """Routes of users in a dictionary. `away`: it does not answer."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Route, ...]] = {}
        self.away = False

    async def routes(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        if self.away:
            raise Unavailable("registry is away")
        return {user: self.known[user] for user in users if user in self.known}


class World:
    """An emitter with a link to one gateway."""

    def __init__(self, port: int, gateway: Gateway, link: PeerLink, emitter: Emitter, registry: Registry) -> None:
        self.port = port
        self.gateway = gateway
        self.link = link
        self.emitter = emitter
        self.registry = registry

    async def notify(self, *users: int) -> None:
        await self.emitter.notify(Notification(b"x", users, 0))

    def delivered(self) -> list[int]:
        """The connections that were told something, in order."""
        frames = [frame for frame in self.gateway.heard if isinstance(frame, Deliveries)]
        return [conn for frame in frames for one in frame.items for conn in one.conns]


@contextlib.asynccontextmanager
async def a_world(kind: type[Emitter] = Emitter) -> AsyncIterator[World]:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port = sock.getsockname()[1]
    gateway, registry = Gateway(port), Registry()
    link = PeerLink(node="sequencer-1", incarnation=9, target="gateway-1", address=(HOST, port))
    emitter = kind(registry, {"gateway-1": link}, confirming=["gateway-1"])  # type: ignore[arg-type]
    world = World(port, gateway, link, emitter, registry)
    await gateway.start()
    link.start()
    tasks = [asyncio.create_task(emitter.run()), asyncio.create_task(emitter.watch())]
    try:
        await until(lambda: link.up)
        yield world
    finally:
        for task in tasks:
            task.cancel()
        await link.close()
        await world.gateway.server.close()


def route(device: int, conn: int) -> Route:
    return Route(device, "gateway-1", 5, conn, 100)


def test_announced_routes_serve_beside_those_of_the_registry() -> None:
    async def live() -> None:
        async with a_world() as world:
            world.registry.known = {1: (route(11, 3),)}
            world.emitter.on_frame(Announce("gateway-1", 5, ((1, 12, 4, 100), (1, 11, 3, 100))))
            await world.notify(1)
            await until(lambda: sorted(world.delivered()) == [3, 4])

    asyncio.run(live())


def test_without_the_registry_a_notification_waits_for_an_announcement() -> None:
    async def live() -> None:
        async with a_world() as world:
            world.registry.away = True
            await world.notify(1, 2)
            await until(lambda: Missed() in world.gateway.heard)
            assert world.delivered() == []
            world.emitter.on_frame(Announce("gateway-1", 5, ((1, 11, 3, 100),), anew=True))
            await until(lambda: world.delivered() == [3])
            world.emitter.on_frame(Announce("gateway-1", 5, ((2, 21, 6, 100),)))
            await until(lambda: world.delivered() == [3, 6])

    asyncio.run(live())


def test_without_the_registry_a_notification_waits_for_it() -> None:
    async def live() -> None:
        async with a_world() as world:
            world.registry.away = True
            world.registry.known = {1: (route(11, 3),), 2: (route(21, 4),)}
            await world.notify(1)
            await world.notify(2)
            await until(lambda: Missed() in world.gateway.heard)
            world.registry.away = False
            await until(lambda: sorted(world.delivered()) == [3, 4])

    asyncio.run(live())
