"""Notifications while the registry is away: by announced routes, and once more when somebody says where a user is."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from sut.ports import Route, Unavailable
from sut.process.peer import PeerLink
from sut.protocol.peer import Announce, AskRoutes, Deliveries, Missed
from sut.services.sequencer import announced
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.notification import Notification
from tests.kit.waits import until
from tests.sut.services.test_edge import HOST, Gateway


class Registry:
    """Routes of users in a dictionary. `away`: it does not answer."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Route, ...]] = {}
        self.away = False
        self.generation = 1
        self.certain_s = 0.0

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
            await until(lambda: AskRoutes() in world.gateway.heard)
            assert world.delivered() == []
            world.emitter.on_frame(Announce("gateway-1", 5, ((1, 11, 3, 100),), anew=True, since_ms=1))
            await until(lambda: world.delivered() == [3])
            world.emitter.on_frame(Announce("gateway-1", 5, ((2, 21, 6, 100), (1, 11, 3, 100))))
            await until(lambda: world.delivered() == [3, 6])
            assert Missed() not in world.gateway.heard

    asyncio.run(live())


def test_a_last_known_route_does_not_hide_another_device() -> None:
    async def live() -> None:
        async with a_world() as world:
            world.registry.known = {1: (route(11, 3),)}
            await world.notify(1)
            await until(lambda: world.delivered() == [3])
            world.registry.away = True
            await world.notify(1)
            await until(lambda: world.delivered() == [3, 3])
            world.emitter.on_frame(Announce("gateway-1", 5, ((1, 11, 3, 100), (1, 12, 4, 100)), anew=True, since_ms=1))
            await until(lambda: world.delivered() == [3, 3, 4, 4])

    asyncio.run(live())


def test_gateways_are_asked_when_the_registry_is_back_or_another_one() -> None:
    async def live() -> None:
        async with a_world() as world:
            await world.notify(1)
            await until(lambda: len(world.emitter._recent) == 1)
            for times in (1, 2):
                world.registry.generation += 1
                await world.notify(1)
                await until(lambda times=times: world.gateway.heard.count(AskRoutes()) == times)
            world.registry.away = True
            for _ in range(3):
                await world.notify(1)
                await asyncio.sleep(0.01)
            world.registry.away = False
            before = world.gateway.heard.count(AskRoutes())
            assert before in (2, 3), "not with every notification"
            await world.notify(1)
            await until(lambda: world.gateway.heard.count(AskRoutes()) == before + 1)

    asyncio.run(live())


def test_a_gateway_whose_doubt_reaches_further_back_than_the_memory_is_told_so() -> None:
    async def live() -> None:
        async with a_world() as world:
            await world.notify(1)
            await until(lambda: len(world.emitter._recent) == 1)
            world.emitter._recent._forgotten_s = time.monotonic() - 30
            world.emitter.on_frame(Announce("gateway-1", 5, anew=True, since_ms=20_000))
            await asyncio.sleep(0.2)
            assert Missed() not in world.gateway.heard
            world.emitter.on_frame(Announce("gateway-1", 5, anew=True, since_ms=40_000))
            await until(lambda: world.gateway.heard.count(Missed()) == 1)

    asyncio.run(live())


def test_a_gateway_with_more_routes_than_there_is_room_for_is_told_so_at_both_ends(monkeypatch) -> None:
    monkeypatch.setattr(announced, "MAX_ROUTES", 1)

    async def live() -> None:
        async with a_world() as world:
            world.emitter.on_frame(Announce("gateway-1", 5, anew=True, since_ms=1))
            world.emitter.on_frame(Announce("gateway-1", 5, ((1, 11, 3, 100), (2, 21, 4, 100))))
            world.emitter.on_frame(Announce("gateway-1", 5, ((3, 31, 5, 100),)))
            await until(lambda: world.gateway.heard.count(Missed()) == 1)
            world.emitter.on_frame(Announce("gateway-1", 5, anew=True))
            await until(lambda: world.gateway.heard.count(Missed()) == 2)

    asyncio.run(live())
