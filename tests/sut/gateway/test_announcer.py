"""A gateway tells the sequencers its routes itself while the registry cannot be told, and confirms their frames."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from sut.gateway import announcer
from sut.process.peer import PeerLink
from sut.protocol.frames import BEAT_RESYNC, Beat, Entry, Heartbeat, Notify, encode
from sut.protocol.peer import Announce, AskRoutes, Deliver, Deliveries, PeerFrame, Took
from tests.kit.waits import until
from tests.sut.gateway.world import World, in_world


@contextlib.asynccontextmanager
async def sequencer(world: World) -> AsyncIterator[tuple[PeerLink, list[PeerFrame]]]:
    """A link of a sequencer, and what the gateway sends over it."""
    heard: list[PeerFrame] = []
    link = PeerLink(
        node="sequencer-1", incarnation=9, target="gateway-1", address=world.address("gateway-1"), on_frame=heard.append
    )
    link.start()
    await until(lambda: link.up and heard)
    try:
        yield link, heard
    finally:
        await link.close()


def announced(heard: list[PeerFrame]) -> set[int]:
    """The devices that are announced after these frames."""
    conns: dict[int, int] = {}
    for frame in heard:
        if isinstance(frame, Announce):
            assert (frame.node, frame.incarnation) == ("gateway-1", 77)
            if frame.anew:
                conns.clear()
            for conn in frame.gone:
                conns.pop(conn, None)
            conns |= {conn: device for _, device, conn, _ in frame.there}
    return set(conns.values())


def test_routes_are_announced_while_the_registry_is_away(tmp_path):
    async def scenario(world: World) -> None:
        async with sequencer(world) as (_, heard), world.device(1, 11):
            assert announced(heard) == set()
            world.registry.away = True
            async with world.device(1, 12):
                await until(lambda: announced(heard) == {11, 12})
                async with sequencer(world) as (_, later):
                    await until(lambda: announced(later) == {11, 12})
            await until(lambda: announced(heard) == {11})
            world.registry.away = False
            await until(lambda: announced(heard) == set())
            assert {device for _, device in world.registry.entries} == {11}, "first the registry knows, then this ends"

    in_world(scenario, tmp_path, lease_ttl_s=0.6)


def test_routes_are_announced_to_who_asks_for_some_seconds_and_not_to_others(tmp_path, monkeypatch):
    monkeypatch.setattr(announcer, "ASKED_S", 0.3)

    async def scenario(world: World) -> None:
        async with sequencer(world) as (link, heard), world.device(1, 11):
            link.send(AskRoutes())
            await until(lambda: announced(heard) == {11})
            async with world.device(1, 12):
                await until(lambda: announced(heard) == {11, 12})
            await until(lambda: announced(heard) == {11})
            await until(lambda: announced(heard) == set())
            assert not world.announced()
            assert (await world.stats())["announces"] == 0

    in_world(scenario, tmp_path)


def test_who_has_asked_hears_how_long_routes_were_in_doubt_and_not_all_of_them_again(tmp_path):
    async def scenario(world: World) -> None:
        async with sequencer(world) as (link, heard), world.device(1, 11):
            link.send(AskRoutes())
            await until(lambda: announced(heard) == {11})
            world.inside.announcer.begin(world.inside._clock() - 3.0)
            await until(lambda: any(isinstance(frame, Announce) and frame.since_ms > 2900 for frame in heard))
            assert sum(isinstance(frame, Announce) and bool(frame.there) for frame in heard) == 1

    in_world(scenario, tmp_path)


def test_what_a_link_does_not_take_lets_devices_sync(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as device:
            while (await device.ask(Heartbeat())) != Beat(0):
                pass
            for peer in world.inside.announcer._linked():
                peer.send = lambda _frame, _correlation=0: False  # type: ignore[method-assign]
            world.inside.announcer.begin(world.inside._clock())
            assert await device.ask(Heartbeat()) == Beat(BEAT_RESYNC)

    in_world(scenario, tmp_path)


def test_deliveries_are_confirmed(tmp_path):
    async def scenario(world: World) -> None:
        async with sequencer(world) as (link, heard), world.device(1, 11) as device:
            item = Deliver((world.number_of(11),), encode(Notify((Entry(5, 6, 0),))))
            for number in (0, 7, 8):
                assert link.send(Deliveries((item,), number))
                await device.receive()
            await until(lambda: Took("gateway-1", 8) in heard)
            assert Took("gateway-1", 0) not in heard, "0 asks for no confirmation"

    in_world(scenario, tmp_path)


def test_after_its_lease_had_ended_a_gateway_announces_since_when(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as device:
            world.inside.registrar._losses._lease_until_s = (
                world.inside._clock() - 0.1
            )  # as after a stop of the process
            await until(lambda: len(world.announced()) == 2)
            begun, routes = world.announced()
            assert begun.anew
            assert 100 < begun.since_ms < 5000
            assert [device for _, device, _, _ in routes.there] == [11]
            with pytest.raises(TimeoutError):
                await device.receive(0.5)
            assert await device.ask(Heartbeat()) == Beat(0), "it has missed nothing that is not sent again"

    in_world(scenario, tmp_path, lease_ttl_s=60.0)
