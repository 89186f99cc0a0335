"""The ways in which a notification can miss its device around a failover of the registry (docs/architecture.md).

A real gateway and the real emitter of a sequencer. Each looks at a registry of its own, so that one can be ahead of the
other, as when Sentinel has made a replica the master. In each case the device gets the notification, and no RESYNC.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace

import pytest

from sut.ports import Route, Unavailable
from sut.process.peer import PeerLink
from sut.protocol.frames import BEAT_RESYNC, Beat, Entry, Heartbeat, Notify, encode
from sut.services.sequencer import emitter as emitters
from sut.services.sequencer import recent as recents
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.notification import Notification
from tests.kit.waits import until
from tests.sut.gateway.world import PACE, Device, MemoryRegistry, World, in_world

QUICK = replace(PACE, certain_s=0.5)
"""The pace of a gateway that doubts its registry soon."""


class Seen:
    """The registry as the sequencer sees it: the gateway's, or another server that has none of its routes."""

    def __init__(self, same: MemoryRegistry) -> None:
        self.same: MemoryRegistry | None = same
        self.generation = 1
        self.away = False
        self.asked = 0
        self.certain = True

    @property
    def certain_s(self) -> float:
        return time.monotonic() if self.certain else 0.0

    async def routes(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        self.asked += 1
        if self.away:
            raise Unavailable("registry is away")
        return await self.same.routes(users) if self.same is not None else {}


class Both:
    """The gateway's world, and a sequencer in it."""

    def __init__(self, world: World, emitter: Emitter, seen: Seen) -> None:
        self.world = world
        self.emitter = emitter
        self.seen = seen
        self.number = 0

    async def notify(self, user: int = 1) -> Notify:
        """Tell a user of a message; returns the frame when it was routed, as far as it was."""
        self.number += 1
        frame = Notify((Entry(5, self.number, 0),))
        asked = self.seen.asked
        await self.emitter.notify(Notification(encode(frame), (user,), 0))
        await until(lambda: self.seen.asked > asked)
        await asyncio.sleep(0)
        return frame


@contextlib.asynccontextmanager
async def both(world: World) -> AsyncIterator[Both]:
    await world.sequencer.close()  # ours has its name
    seen = Seen(world.registry)
    link = PeerLink(
        node="sequencer-1",
        incarnation=9,
        target="gateway-1",
        address=world.address("gateway-1"),
        on_frame=lambda frame: emitter.on_frame(frame),  # noqa: PLW0108 (it is made below)
    )
    emitter = Emitter(seen, {"gateway-1": link}, confirming=["gateway-1"])  # type: ignore[arg-type]
    link.start()
    tasks = [asyncio.create_task(emitter.run()), asyncio.create_task(emitter.watch())]
    try:
        await world.wait_until_stat("whole", bool)
        sides = Both(world, emitter, seen)
        await sides.notify(99)  # it has read the registry once
        yield sides
    finally:
        for task in tasks:
            task.cancel()
        await link.close()


async def settled(device: Device) -> None:
    """Beat until nothing is to be resynced."""
    while (await device.ask(Heartbeat())) != Beat(0):
        pass


async def quiet(device: Device) -> None:
    """Check that the device is told nothing more, and is not to SYNC."""
    with pytest.raises(TimeoutError):
        await device.receive(0.3)
    assert await device.ask(Heartbeat()) == Beat(0)


async def hears(device: Device, both: Both, user: int = 1) -> None:
    """Check that a device is told of a message now."""
    frame = await both.notify(user)
    assert await device.receive() == frame


async def over(both: Both, generation: int = 2) -> None:
    """The failover has ended, and the registry is one for both again. The gateway tells nothing itself any more."""
    both.seen.same, both.seen.generation, both.seen.away = both.world.registry, generation, False
    await both.world.wait_until_stat("announces", lambda n: n == 0, timeout_s=15)
    assert not len(both.emitter._announced)


Scenario = Callable[[Both, Device], Coroutine[None, None, None]]


async def nobody_can_ask(both: Both, device: Device) -> None:
    """Redis is away for both. A device connects meanwhile, and only its gateway knows it."""
    both.seen.away = both.world.registry.away = True
    await both.world.wait_until_stat("announces", bool)
    async with both.world.device(2, 21) as newer:
        frames = [await both.notify(1), await both.notify(2)]
        assert [await device.receive(), await newer.receive()] == frames
        both.world.registry.away = False
        await over(both)
        await quiet(newer)


async def the_sequencer_is_cut_off(both: Both, device: Device) -> None:
    """The gateway's registry works, and the sequencer cannot ask it: it asks the gateway."""
    both.seen.away = True
    await hears(device, both)
    async with both.world.device(2, 21) as newer:
        await hears(newer, both, user=2)
        await over(both)
        await quiet(newer)


async def the_sequencer_moves_first(both: Both, device: Device) -> None:
    """The new master has neither lease nor routes of the gateway, which has not noticed yet."""
    both.seen.same, both.seen.generation = None, 2
    frame = await both.notify()
    assert await device.receive() == frame
    both.world.registry.lose()
    both.world.registry.leases.clear()
    both.world.registry.generation = 2
    await over(both)


async def the_gateway_moves_first(both: Both, device: Device) -> None:
    """The sequencer reads the old master on, and does not see who connects after the gateway has written all again."""
    old = MemoryRegistry()
    old.entries = dict(both.world.registry.entries)
    both.seen.same = old
    both.world.registry.generation = 2
    await until(lambda: both.world.inside.registrar._generation == 2)
    await both.world.wait_until_stat("announces", lambda n: n == 0, timeout_s=15)
    async with both.world.device(2, 21) as newer:
        await settled(newer)
        missed = await both.notify(2)
        await hears(device, both, user=1)
        with pytest.raises(TimeoutError):
            await newer.receive(0.3)
        both.seen.same, both.seen.generation = both.world.registry, 2
        await hears(device, both, user=1)
        assert await newer.receive() == missed
        await over(both)
        await quiet(newer)


async def the_lease_ends_unnoticed(both: Both, device: Device) -> None:
    """A stopped gateway cannot renew its lease. The sequencer sees no route, and has no reason for a doubt."""
    both.seen.same = None
    frames = [await both.notify(), await both.notify()]
    both.world.inside.registrar._losses._lease_until_s = time.monotonic() - 1.0
    assert [await device.receive(), await device.receive()] == frames
    await over(both, generation=1)


async def no_sentinel_answers(both: Both, device: Device) -> None:
    """A gateway on the wrong side of a partition writes to the old master, and no call fails."""
    both.world.registry.uncertain_since_s = time.monotonic() - 60.0
    both.seen.same = None
    frame = await both.notify()
    assert await device.receive() == frame
    await hears(device, both)
    both.world.registry.uncertain_since_s = float("inf")
    await over(both, generation=1)


async def no_sentinel_answers_the_sequencer(both: Both, device: Device) -> None:
    """It reads the old master, where the leases have ended, and no call fails."""
    both.seen.certain, both.seen.same = False, None
    await hears(device, both)
    await asyncio.sleep(0.3)
    await hears(device, both)
    both.seen.certain = True
    await over(both, generation=1)


WAYS = [
    nobody_can_ask, the_sequencer_is_cut_off, the_sequencer_moves_first, the_gateway_moves_first,
    the_lease_ends_unnoticed, no_sentinel_answers, no_sentinel_answers_the_sequencer,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_each_device_gets_what_it_missed_and_need_not_sync(way: Scenario, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(emitters, "CERTAIN_S", 0.5)

    async def scenario(world: World) -> None:
        async with both(world) as sides, world.device(1, 11) as device:
            await settled(device)
            resyncs = world.inside.stats.resyncs
            await way(sides, device)
            await quiet(device)
            assert world.inside.stats.resyncs == resyncs
            assert (await world.stats())["missed"] == 0

    in_world(scenario, tmp_path, pace=QUICK, lease_ttl_s=3.0)


def test_who_lost_more_than_a_sequencer_remembers_is_told_to_sync(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(recents, "MAX_USERS", 1)

    async def scenario(world: World) -> None:
        async with both(world) as sides, world.device(1, 11) as device, world.device(3, 31) as other:
            for one in (device, other):
                await settled(one)
            sides.seen.same, sides.seen.generation = None, 2
            last = Notify((Entry(5, 9, 0),))
            for user in (1, 3):  # they come together: the second one takes the first one's place
                await sides.emitter.notify(Notification(encode(last), (user,), 0))
            assert {await other.receive(), await other.receive()} == {last, Beat(BEAT_RESYNC)}
            assert await device.receive() == Beat(BEAT_RESYNC), "unasked"
            for one in (device, other):
                assert await one.ask(Heartbeat()) == Beat(0)
            assert (await world.stats())["missed"] >= 1
            sides.seen.same = world.registry

    in_world(scenario, tmp_path, pace=QUICK, lease_ttl_s=3.0)
