"""A gateway tells the sequencers its routes itself while the registry cannot be told, and confirms their frames."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from sut.process.peer import PeerLink
from sut.protocol.frames import BEAT_RESYNC, Beat, Entry, Notify, encode
from sut.protocol.peer import Announce, Deliver, Deliveries, Missed, PeerFrame, Took
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


def test_routes_are_announced_to_who_may_know_too_few(tmp_path):
    async def scenario(world: World) -> None:
        async with sequencer(world) as (link, heard), world.device(1, 11):
            link.send(Missed())
            await until(lambda: announced(heard) == {11})
            await until(lambda: announced(heard) == set())

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


@pytest.mark.parametrize("announces", ["nothing", "too late"])
def test_after_its_lease_had_ended_a_gateway_tells_its_devices_at_once(tmp_path, announces):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as device:
            world.inside.registrar._losses._lease_until_s = 0.0  # as after a stop of the process
            if announces == "too late":
                world.inside.announcer.begin()
            assert await device.receive() == Beat(BEAT_RESYNC), "unasked: no heartbeat was sent"

    in_world(scenario, tmp_path, lease_ttl_s=0.6)


def test_who_was_announced_before_the_lease_ended_has_missed_nothing(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as device:
            world.registry.away = True
            await world.wait_until_stat("announces", bool)
            await asyncio.sleep(0.8)  # the lease has ended
            world.registry.away = False
            await world.wait_until_stat("lease_lapses", bool)
            with pytest.raises(TimeoutError):
                await device.receive(0.5)

    in_world(scenario, tmp_path, lease_ttl_s=0.6)
