"""The gateway's entries in the registry: routes, lease, replacement, and what happens while Redis is away."""

import asyncio
import contextlib
import time
from typing import cast

from sut.gateway.connection import Connection
from sut.gateway.gateway import Gateway
from sut.gateway.losses import Losses
from sut.gateway.registrar import Pace, Registrar
from sut.ports import Route
from sut.protocol.frames import BEAT_RESYNC, Beat, Close, Heartbeat, Welcome
from sut.protocol.peer import Announce
from tests.kit.pace import scaled
from tests.kit.waits import until
from tests.sut.gateway.world import Device, MemoryRegistry, World, in_world


def test_the_lease_is_taken_renewed_and_released(tmp_path):
    async def scenario(world: World) -> None:
        incarnation, address, valid_until = world.registry.leases["gateway-1"]
        assert (incarnation, address) == (77, world.url)
        await until(lambda: world.registry.leases["gateway-1"][2] > valid_until)

    registry = in_world(scenario, tmp_path, lease_ttl_s=0.3)
    assert registry.leases == {}


def test_many_connections_share_round_trips(tmp_path):
    async def scenario(world: World) -> None:
        world.registry.answer_s = 0.1
        before = world.registry.calls["register"]
        async with contextlib.AsyncExitStack() as stack:
            await asyncio.gather(*(stack.enter_async_context(world.device(1, n)) for n in range(100)))
            assert len(world.registry.entries) == 100
            assert world.registry.calls["register"] - before < 20
        await until(lambda: not world.registry.entries)
        assert world.registry.calls["unregister"] < 20

    in_world(scenario, tmp_path)


def test_a_lone_connection_is_registered_at_once_and_those_that_follow_gather(tmp_path):
    gather_s = scaled(0.6)

    async def scenario(world: World) -> None:
        async with contextlib.AsyncExitStack() as stack:
            began_s = time.monotonic()
            await stack.enter_async_context(world.device(1, 1))  # returns when it is welcomed
            assert time.monotonic() - began_s < gather_s / 2
            before = world.registry.calls["register"]
            await asyncio.gather(*(stack.enter_async_context(world.device(1, n)) for n in range(2, 40)))
            assert len(world.registry.entries) == 39
            assert world.registry.calls["register"] - before <= 1 + (time.monotonic() - began_s) / gather_s

    in_world(scenario, tmp_path, pace=Pace(gather_s=gather_s, welcome_by_s=60.0, refresh_s=600.0))


def test_a_newer_connection_on_the_same_gateway_replaces_the_older(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device() as older, world.device() as newer:
            assert await older.closed() == (Close.REPLACED, [])
            assert isinstance(await newer.ask(Heartbeat()), Beat)
            await until(lambda: world.registry.calls["unregister"])
            assert world.number_of(11) == 2  # compare and delete: the older one's end left the newer one's route

    in_world(scenario, tmp_path, pace=Pace())  # at once, not at the next rewrite


def test_an_epoch_is_raised_above_one_from_a_clock_ahead_of_ours(tmp_path):
    async def scenario(world: World) -> None:
        ahead = int(time.time() * 1000) + 3_600_000
        world.registry.entries[1, 11] = Route(11, "gateway-9", 5, 6, ahead)
        async with world.connect() as ws:
            welcome = await Device(ws).receive()
            assert isinstance(welcome, Welcome)
            assert welcome.epoch == ahead + 1
            assert world.registry.entries[1, 11].node == "gateway-1"

    in_world(scenario, tmp_path)


def test_who_was_replaced_on_another_gateway_is_closed_at_the_next_rewrite(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device() as device:
            world.registry.entries[1, 11] = Route(11, "gateway-9", 5, 6, int(time.time() * 1000) + 60_000)
            assert await device.closed() == (Close.REPLACED, [])
            assert world.registry.entries[1, 11].node == "gateway-9"

    in_world(scenario, tmp_path)


def test_without_redis_devices_are_welcomed_in_time_and_announced_until_they_are_registered(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 12) as before:
            while (await before.ask(Heartbeat())) != Beat(0):
                pass
            world.registry.away = True
            world.registry.lose()
            began_s = time.monotonic()
            async with world.device(1, 11) as device:
                assert 0.2 <= time.monotonic() - began_s <= 1.0
                await world.wait_until_stat("whole", lambda n: n == 0)  # the lease has lapsed
                await until(lambda: {d for a in world.announced() for _, d, _, _ in a.there} == {11, 12})
                world.registry.away = False
                await world.wait_until_stat("whole", bool)
                await until(lambda: len(world.registry.entries) == 2)
                await world.wait_until_stat("announces", lambda n: n == 0)
                for one in (device, before):  # no route led to them, and the sequencer knew them
                    assert await one.ask(Heartbeat()) == Beat(0)
        await until(lambda: not world.registry.entries)

    in_world(scenario, tmp_path, lease_ttl_s=0.6)


def test_a_slow_registry_does_not_hold_up_the_welcome(tmp_path):
    async def scenario(world: World) -> None:
        world.registry.answer_s = 1.2
        began_s = time.monotonic()
        async with world.device() as device:
            assert time.monotonic() - began_s <= 1.0
            await until(lambda: world.registry.entries)
            async with asyncio.timeout(3):
                while (await device.ask(Heartbeat())) != Beat(BEAT_RESYNC):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert await device.ask(Heartbeat()) == Beat(0)
        world.registry.answer_s = 0.0

    in_world(scenario, tmp_path)


def test_routes_that_a_failover_lost_unnoticed_are_written_again_and_their_devices_resynced(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as lost, world.device(1, 12) as kept:
            for one in (lost, kept):
                while (await one.ask(Heartbeat())) != Beat(0):
                    pass
            del world.registry.entries[1, 11]
            assert await lost.receive() == Beat(BEAT_RESYNC)  # unasked: what was missed is not left to the next BEAT
            assert len(world.registry.entries) == 2
            assert await kept.ask(Heartbeat()) == Beat(0)
            assert await lost.ask(Heartbeat()) == Beat(0)

    in_world(scenario, tmp_path)


async def after_a_silent_failover(world: World) -> list[Announce]:
    """What is announced after a replica without the gateway's lease has become master. No call failed."""
    async with world.device():
        await until(lambda: world.registry.calls["replaced"] > 0)
        world.registry.leases.clear()
        world.registry.generation += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(scaled(1.5)):
                while len(world.announced()) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        return world.announced()


def test_after_a_failover_that_no_call_saw_the_lease_is_taken_and_the_routes_are_announced(tmp_path):
    async def scenario(world: World) -> None:
        begun, routes = await after_a_silent_failover(world)
        assert begun.anew
        assert [device for _, device, _, _ in routes.there] == [11]
        assert "gateway-1" in world.registry.leases

    in_world(scenario, tmp_path, lease_ttl_s=60.0)


def test_a_dead_handshake_that_a_stopped_gateway_finds_costs_the_living_connection_one_rewrite(tmp_path):
    """Found by the harness (quick, seed 2, gateway_pause): a device tried a stopped gateway, gave up, and was online on
    another one. The stopped gateway woke, took the old handshake from its socket, registered it as the newest and took
    it out again when it saw that nobody was there. The living connection had no route for up to 30 s, and no hint.
    """

    async def scenario(world: World) -> None:
        async with world.device(1, 11) as living:
            while (await living.ask(Heartbeat())) != Beat(0):
                pass
            zombie = Route(11, "gateway-9", 5, 6, world.registry.entries[1, 11].epoch + 1)
            await world.registry.register([(1, zombie)])
            await world.registry.unregister([(1, zombie)])
            assert (1, 11) not in world.registry.entries
            assert await living.receive(timeout_s=2.0) == Beat(BEAT_RESYNC)
            assert world.registry.entries[1, 11].node == "gateway-1"

    in_world(scenario, tmp_path)


def test_a_connection_that_ends_while_redis_is_away_is_taken_out_later(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device():
            world.registry.away = True
        await world.wait_until_stat("connections", lambda n: n == 0)
        assert (1, 11) in world.registry.entries
        world.registry.away = False
        await until(lambda: not world.registry.entries)
        assert (await world.stats())["routes_waiting"] == 0

    in_world(scenario, tmp_path)


def test_a_removal_that_a_failover_lost_is_made_again_and_takes_nothing_newer_with_it(tmp_path):
    """Found by the harness (push, seed 1, redis_failover): a device went offline while the replica lagged, the replica
    became the master, and there the device was still connected: it got no push until it came back by itself.
    """

    async def scenario(world: World) -> None:
        async with world.device(1, 11), world.device(1, 12):
            old = dict(world.registry.entries)
        await until(lambda: not world.registry.entries)
        newer = Route(12, "gateway-9", 5, 6, old[1, 12].epoch + 1)
        world.registry.entries.update(old | {(1, 12): newer})
        await until(lambda: (1, 11) not in world.registry.entries)
        assert world.registry.entries == {(1, 12): newer}

    in_world(scenario, tmp_path)


def test_removals_that_wait_are_bounded():
    async def scenario() -> None:
        registry = MemoryRegistry()
        registrar = Registrar(
            registry,
            node="gateway-1",
            incarnation=1,
            address="ws://x",
            ttl_s=6.0,
            connections={},
            losses=Losses([]),
            pace=Pace(max_gone=10),
        )
        for _ in range(50):
            registrar.remove(Connection(cast("Gateway", None)))
        assert registrar.waiting == 10

    asyncio.run(scenario())
