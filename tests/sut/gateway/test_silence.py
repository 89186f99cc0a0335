"""A device that is told something and says nothing: pinged, then silent, until it is heard again. Real sockets."""

import asyncio

from sut.gateway.silence import KEPT_S, SILENT_S, Silence
from sut.gateway.timers import NEVER, ticks
from sut.process.peer import PeerLink
from sut.protocol.frames import Ack, Entry, Heartbeat, Message, Notify, Sync, Synced, encode
from sut.protocol.peer import AskConnected, Connected, Deliver
from tests.kit.waits import until
from tests.sut.gateway.test_presence import MemoryPresence
from tests.sut.gateway.world import Device, World, in_world

NEWS = Notify((Entry(1, 1, 0),))


async def asked(world: World, *devices: int) -> Connected:
    """What the gateway answers to a push service."""
    link = PeerLink(node="push-1", incarnation=3, target="gateway-1", address=world.address("gateway-1"))
    link.start()
    try:
        async with asyncio.timeout(5):
            while not link.up:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        answer = await link.ask(AskConnected(devices), 1.0)
        assert isinstance(answer, Connected)
        return answer
    finally:
        await link.close()


def test_who_never_reads_is_silent_and_who_answers_a_ping_is_not(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11), world.device(1, 12) as noticed:
            _reader, writer = await world.raw(1, 13)
            await world.wait_until_stat("routes_waiting", lambda n: n == 0)
            assert set((await asked(world, 11, 12, 13)).devices) == {11, 12, 13}
            world.deliver([11, 13], NEWS)  # 11 has a library that answers pings, 13 has nobody
            world.deliver([12], Message(1, 1, 0, 2, 9, 1, b"x"))
            assert await noticed.receive()
            await world.wait_until_stat("silent", lambda n: n == 1)
            answer = await asked(world, 11, 12, 13)
            assert set(answer.devices) == {11, 12}
            ((device, ms),) = answer.silent
            assert device == 13
            assert SILENT_S * 1000 <= ms < 10_000
            await asyncio.sleep(0.5)
            assert (await world.stats())["silent"] == 1
            writer.write(b"\x8a\x80\x00\x00\x00\x00")  # its pong, at last
            await world.wait_until_stat("silent", lambda n: n == 0)
            assert set((await asked(world, 13)).devices) == {13}
            world.deliver([13], NEWS)
            await world.wait_until_stat("silent", lambda n: n == 1)
            writer.transport.abort()
            await world.wait_until_stat("silent", lambda n: n == 0)

    in_world(scenario, tmp_path, heartbeat_s=30)


def test_who_is_connected_is_found_by_device_while_it_has_a_connection(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11):
            async with world.device(1, 11):  # takes the place of the first, which ends
                await world.wait_until_stat("connections", lambda n: n == 1)
                assert set((await asked(world, 11, 12)).devices) == {11}
            await world.wait_until_stat("connections", lambda n: n == 0)
            assert (await asked(world, 11, 12)).devices == ()

    in_world(scenario, tmp_path, heartbeat_s=30)


def test_who_waits_for_what_it_missed_counts_as_silent_until_the_first_answer(tmp_path):
    """It is connected, and answers pings. What it missed before it came, it knows from the answer to its SYNC only."""

    async def scenario(world: World) -> None:
        async with world.device(1, 11) as device, world.device(1, 12):
            await world.wait_until_stat("routes_waiting", lambda n: n == 0)
            await device.send(Sync(1, 0, ()))
            await asyncio.sleep(SILENT_S / 2)
            assert set((await asked(world, 11, 12)).devices) == {11, 12}
            await asyncio.sleep(SILENT_S / 2 + 0.3)
            answer = await asked(world, 11, 12)
            assert answer.devices == (12,), "who asks for nothing is owed nothing"
            ((one, ms),) = answer.silent
            assert one == 11
            assert ms >= 6_000, "what came in the seconds before it is meant too"
            world.deliver([11], Synced(1, 0, ()))
            assert await device.receive()
            assert set((await asked(world, 11, 12)).devices) == {11, 12}
            await device.send(Sync(2, 0, ()))  # later ones repeat what it was told
            await asyncio.sleep(SILENT_S + 0.3)
            answer = await asked(world, 11, 12)
            assert (set(answer.devices), answer.silent) == ({11, 12}, ())

    in_world(scenario, tmp_path, heartbeat_s=30)


def test_who_has_left_is_told_only_if_the_registry_takes_long_to_learn_of_it(tmp_path):
    async def scenario(world: World) -> None:
        for device, answer_s, silent in ((11, 4.0, [11]), (12, 0.0, [])):
            async with world.device(1, device):
                await world.wait_until_stat("routes_waiting", lambda n: n == 0)
                world.registry.answer_s = answer_s
            await asyncio.sleep(SILENT_S + 0.5)
            answer = await asked(world, device)
            world.registry.answer_s = 0.0
            assert answer.devices == ()
            assert [one for one, _ms in answer.silent] == silent
            async with world.device(1, device):
                assert not (await asked(world, device)).silent

    in_world(scenario, tmp_path, heartbeat_s=30)


def test_answers_are_not_news(tmp_path):
    async def scenario(world: World) -> None:
        _reader, writer = await world.raw(1, 13)
        await world.wait_until_stat("routes_waiting", lambda n: n == 0)
        world.deliver([13], Ack(1, 1, 1))
        await asyncio.sleep(SILENT_S + 0.7)
        stats = await world.stats()
        assert (stats["silent"], stats["probes"]) == (0, 0)
        writer.close()

    in_world(scenario, tmp_path, heartbeat_s=30)


def test_a_missed_heartbeat_is_asked_about(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as one:
            _reader, _writer = await world.raw(1, 13)
            beating = asyncio.create_task(beat(one))
            await world.wait_until_stat("silent", lambda n: n == 1, timeout_s=12)
            assert ((await asked(world)).silent)[0][0] == 13
            await world.wait_until_stat("connections", lambda n: n == 1, timeout_s=8)  # 4408
            assert (await world.stats())["silent"] == 0
            beating.cancel()

    async def beat(one: Device) -> None:
        while True:
            await one.send(Heartbeat())
            await asyncio.sleep(2)

    in_world(scenario, tmp_path, heartbeat_s=5)


def test_a_silent_device_is_not_online_until_it_is_heard_again(tmp_path):
    presence = MemoryPresence()

    async def scenario(world: World) -> None:
        async with world.device(1, 11):
            _reader, writer = await world.raw(2, 13)
            await until(lambda: presence.there() == {1, 2})
            conn = world.registry.entries[2, 13].conn
            assert world.sequencer.send(Deliver((conn,), encode(NEWS)))
            await until(lambda: presence.there() == {1}, timeout_s=5)
            writer.write(b"\x8a\x80\x00\x00\x00\x00")
            await until(lambda: presence.there() == {1, 2})
            assert world.sequencer.send(Deliver((conn,), encode(NEWS)))
            await until(lambda: presence.there() == {1}, timeout_s=5)
            writer.transport.abort()
            await world.wait_until_stat("connections", lambda n: n == 1)
            assert presence.there() == {1}
            async with world.device(2, 13):
                await until(lambda: presence.there() == {1, 2})
            await until(lambda: presence.there() == {1})

    in_world(scenario, tmp_path, presence=presence, heartbeat_s=30)


class Lone:
    """A connection in memory."""

    def __init__(self) -> None:
        self.told, self.user, self.device, self.is_open, self.sent = NEVER, 1, 11, True, 0
        self.unheard = False

    def send(self, data: bytes) -> None:
        self.sent += 1


def test_a_thing_told_after_an_answer_counts_from_then():
    changes = []
    silence = Silence(lambda one, silent: changes.append(silent))
    one = Lone()
    silence.told(one, 0)
    silence.heard(one)
    silence.told(one, 5)
    silence.told(one, 9)
    silence.advance(ticks(SILENT_S) + 4)
    assert (changes, one.sent) == ([], 1)
    silence.advance(ticks(SILENT_S) + 5)
    assert changes == [True]
    assert silence.since(ticks(SILENT_S) + 7) == ((11, ticks(SILENT_S) + 2),)
    silence.heard(one)
    assert changes == [True, False]
    silence.told(one, 100)
    assert silence.left(one) is False
    silence.advance(1000)
    assert len(silence) == 0


def test_who_is_not_read_is_not_silent_and_its_time_begins_when_it_is_read_again():
    changes = []
    silence = Silence(lambda one, silent: changes.append(silent))
    one = Lone()
    silence.told(one, 0)
    one.unheard = True
    for tick in range(1, 200):
        silence.advance(tick)
    assert (changes, one.sent) == ([], 0)
    one.unheard = False
    silence.heard(one)
    silence.told(one, 200)
    silence.advance(199 + ticks(SILENT_S))
    assert (changes, one.sent) == ([], 1)
    one.unheard = True
    silence.advance(200 + ticks(SILENT_S))
    assert changes == []
    one.unheard = False
    silence.advance(200 + 3 * ticks(SILENT_S))
    silence.advance(200 + 5 * ticks(SILENT_S))
    assert changes == [True]


def test_who_left_with_an_answer_owed_is_named_until_it_is_back():
    silence = Silence(lambda _one, _silent: None)
    one, other = Lone(), Lone()
    other.device = 12
    for each in (one, other):
        silence.told(each, 10)
        silence.left(each)
    assert silence.since(10 + ticks(SILENT_S) - 1) == ()
    assert dict(silence.since(10 + ticks(SILENT_S))) == {11: ticks(SILENT_S), 12: ticks(SILENT_S)}
    silence.opened(Lone())
    assert dict(silence.since(60)) == {12: 50}
    assert silence.since(10 + ticks(KEPT_S) + 1) == ()
