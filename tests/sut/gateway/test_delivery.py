"""Frames between devices and the rest of the system, and RESYNC when some may have been lost."""

import asyncio

import pytest

from sut.process.peer import PeerLink
from sut.protocol.frames import (
    BEAT_RESYNC,
    Ack,
    Beat,
    Entry,
    Fetch,
    Heartbeat,
    Notify,
    Recv,
    Send,
    Sync,
    Synced,
    Welcome,
    encode,
)
from sut.protocol.peer import Deliver, Deliveries, FetchPage, Missed, Reported, Submit, SyncDevice
from sut.protocol.signals import Read, ReceiptKind
from tests.kit.waits import until
from tests.sut.gateway.world import Device, World, in_world

NOTIFY = Notify((Entry(5, 6, 0),))


async def beats(device: Device, count: int = 2) -> list[int]:
    """The flags of the next BEATs."""
    flags = []
    for _ in range(count):
        beat = await device.ask(Heartbeat())
        assert isinstance(beat, Beat)
        flags.append(beat.flags)
    return flags


async def settled(device: Device) -> None:
    """Beat until nothing is to be resynced."""
    while await beats(device) != [0, 0]:
        pass


def test_welcome_tells_who_and_how(tmp_path):
    async def scenario(world: World) -> None:
        async with world.connect(user=3, device=31) as ws:
            welcome = await Device(ws).receive()
            assert isinstance(welcome, Welcome)
            assert welcome[:2] == (3, 31)
            assert welcome[3:] == (7_000, 16_384, b""), "the log only for who asks"
            (route,) = world.registry.entries.values()
            assert (route.device, route.node, route.incarnation, route.conn) == (31, "gateway-1", 77, 1)
            assert route.epoch == welcome.epoch

    in_world(scenario, tmp_path, heartbeat_s=7)


def test_welcome_comes_before_all_else(tmp_path):
    async def scenario(world: World) -> None:
        world.registry.answer_s = 0.3
        async with world.connect() as ws:
            device = Device(ws)
            await device.send(Heartbeat())
            assert isinstance(await device.receive(), Welcome)
            assert isinstance(await device.receive(), Beat)

    in_world(scenario, tmp_path)


def test_requests_reach_a_chat_service_with_the_identity_of_the_token(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(user=3, device=31) as device:
            for frame in (Send(9, 1, b"hi"), Recv(9, 4), Fetch(1, 9, 4, 50), Sync(2, 0, ((9, 4),))):
                await device.send(frame)
            await until(lambda: len(world.forwarded) == 4)
            assert sorted(world.forwarded, key=lambda frame: isinstance(frame, Reported)) == [
                Submit(1, 3, 31, 9, 1, b"hi"),
                FetchPage(1, 3, 1, 9, 4, 50),
                SyncDevice(1, 3, 2, 0, ((9, 4),)),
                Reported(((3, 31, 9, ReceiptKind.DELIVERED, 4),)),
            ]

    in_world(scenario, tmp_path)


def test_what_devices_report_in_a_tick_goes_in_one_frame(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(user=3, device=31) as one, world.device(user=4, device=41) as other:
            for number in range(20):
                await one.send(Recv(9, 20 - number))
                await one.send(Recv(8, 1 + number))
                await other.send(Read(9, 7))

            def told() -> dict[tuple[int, ...], int]:
                found: dict[tuple[int, ...], int] = {}
                for frame in world.forwarded:
                    for *key, seq in frame.items:
                        found[tuple(key)] = max(seq, found.get(tuple(key), 0))
                return found

            expected = {(3, 31, 9, 0): 20, (3, 31, 8, 0): 20, (4, 41, 9, 1): 7}
            await until(lambda: told() == expected)
            assert len(world.forwarded) <= 6, "one a tick, of the 60 words"

    in_world(scenario, tmp_path)


def test_an_answer_of_the_chat_service_reaches_who_asked(tmp_path):
    async def scenario(world: World) -> None:
        world.answer = lambda frame: Deliver((frame.conn,), encode(Synced(frame.req, 0, ())))
        async with world.device(1, 11) as one, world.device(1, 12) as other:
            assert await other.ask(Sync(8, 0, ())) == Synced(8, 0, ())
            assert await one.ask(Sync(9, 0, ())) == Synced(9, 0, ())

    in_world(scenario, tmp_path)


def test_one_frame_reaches_many_and_those_that_are_gone_are_skipped(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 12) as b, world.device(1, 13) as c:
            async with world.device(1, 11):
                numbers = [world.number_of(device) for device in (11, 12, 13)]
            await world.wait_until_stat("connections", lambda n: n == 2)
            items = (Deliver((*numbers, 999), encode(NOTIFY)), Deliver((numbers[1],), encode(Ack(1, 2, 3))))
            world.sequencer.send(Deliveries(items))
            assert await b.receive() == NOTIFY
            assert await b.receive() == Ack(1, 2, 3)
            assert await c.receive() == NOTIFY
            assert (await world.stats())["undeliverable"] == 2

    in_world(scenario, tmp_path)


def test_deliver_can_close_after_the_frame(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device() as device:
            world.deliver([11], NOTIFY, close=4403)
            assert await device.closed() == (4403, [NOTIFY])
            await until(lambda: not world.registry.entries)

    in_world(scenario, tmp_path)


def test_missed_makes_the_next_beat_of_every_device_say_resync_once(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as one, world.device(1, 12) as other:
            await settled(one)
            await settled(other)
            world.sequencer.send(Missed())
            await world.wait_until_stat("missed", bool)
            assert await beats(one) == [BEAT_RESYNC, 0]
            assert await beats(other) == [BEAT_RESYNC, 0]
            async with world.device(1, 13) as later:  # it syncs anyway, after WELCOME
                assert await beats(later) == [0, 0]

    in_world(scenario, tmp_path)


def test_resync_as_long_as_a_sequencer_has_no_link_and_once_after(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device() as device:
            await settled(device)
            await world.sequencer.close()
            await world.wait_until_stat("whole", lambda n: n == 0)
            assert await beats(device, 3) == [BEAT_RESYNC] * 3
            world.sequencer = world.new_sequencer()
            world.sequencer.start()
            await world.wait_until_stat("whole", bool)
            assert await beats(device, 3) == [BEAT_RESYNC, 0, 0]

    in_world(scenario, tmp_path)


@pytest.mark.parametrize("node", ["api-1", "probe"])
def test_links_of_others_come_and_go_without_resync(tmp_path, node):
    async def scenario(world: World) -> None:
        async with world.device() as device:
            await settled(device)
            link = PeerLink(node=node, incarnation=1, target="gateway-1", address=world.address("gateway-1"))
            link.start()
            await until(lambda: link.up)
            assert link.send(Deliver((world.number_of(11),), encode(NOTIFY)))
            assert await device.receive() == NOTIFY
            await link.close()
            await asyncio.sleep(0.1)
            assert await beats(device) == [0, 0]

    in_world(scenario, tmp_path)


def test_a_silent_connection_answers_websocket_pings(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device() as device:
            async with asyncio.timeout(3):
                await (await device.ws.ping(b"x"))

    in_world(scenario, tmp_path)


def test_frames_of_one_device_keep_their_order_through_a_burst(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device() as device:
            for number in range(1, 151):
                await device.send(Send(9, number, b"x" * (2 * number)))
            await until(lambda: len(world.forwarded) == 150)
            assert [frame.client_seq for frame in world.forwarded] == list(range(1, 151))

    in_world(scenario, tmp_path)
