"""What one connection may cost: it is paused when it costs too much, served again later, and others never notice."""

import asyncio
import os
import struct

import pytest

from sut.deploy.topology import Settings
from sut.gateway import budget, connection
from sut.gateway.silence import SILENT_S
from sut.protocol import frames as f
from sut.protocol import websocket
from sut.protocol.peer import SyncDevice
from sut.protocol.server import Forward, ServerSession
from sut.protocol.signals import Watch
from tests.kit.waits import until
from tests.sut.gateway.test_presence import MemoryPresence
from tests.sut.gateway.world import World, in_world

SHARE = Settings().device_cpu_share


def masked(first: int, payload: bytes) -> bytes:
    """A device's WebSocket frame."""
    mask = os.urandom(4)
    return struct.pack("!BB", first, 0x80 | len(payload)) + mask + websocket.unmask(payload, mask)


def binary(frame: f.ClientFrame) -> bytes:
    payload = f.encode(frame)
    if len(payload) < 126:
        return masked(0x82, payload)
    mask = os.urandom(4)
    return struct.pack("!BBH", 0x82, 0xFE, len(payload)) + mask + websocket.unmask(payload, mask)


def test_a_share_of_a_core_is_saved_up_to_a_bound_and_a_debt_is_paid_off() -> None:
    assert budget.left_s(0.0, 1.0, 0.0, share=SHARE) == pytest.approx(SHARE)
    assert budget.left_s(0.0, 3600.0, 0.0, share=SHARE) == budget.SAVED_S
    debt_s = -budget.left_s(0.0, 0.0, 0.05, share=SHARE)
    assert debt_s == pytest.approx(0.05)
    assert budget.left_s(-debt_s, budget.pause_s(debt_s, share=SHARE), 0.0, share=SHARE) == pytest.approx(0.0)


def test_what_costs_others_much_counts_much() -> None:
    sync, receipt = Forward(f.Sync(1, 0, ())), Forward(f.Recv(1, 1))
    assert budget.elsewhere_s([sync] * 100) > SHARE / 2
    assert budget.elsewhere_s([receipt] * 100) < budget.elsewhere_s([sync] * 100) / 5
    assert budget.elsewhere_s([Forward(f.Send(1, 1, b"x"))] * 50) == pytest.approx(SHARE)
    assert budget.elsewhere_s([Forward(Watch(tuple(range(1, 501))))]) == pytest.approx(0.001)


def test_fragments_count_as_frames() -> None:
    session = ServerSession(0)
    begin, end = masked(0x02, b""), masked(0x80, f.encode(f.Sync(1, 0, ())))
    flood = begin + masked(0x00, b"") * 2_500 + end
    (decision,) = session.receive(flood, mark=0, second=1)
    assert not isinstance(decision, Forward)  # beyond the frames of this second
    (decision,) = session.receive(binary(f.Sync(1, 0, ())), mark=0, second=2)
    assert isinstance(decision, Forward)


FLOODS = {
    "syncs": (b"", binary(f.Sync(1, 0, ())) * 500),
    "fragments": (masked(0x02, b""), masked(0x00, b"") * 40_000),
    "pings": (b"", masked(0x89, b"") * 20_000),
    "heartbeats": (b"", binary(f.Heartbeat()) * 20_000),
    "watches": (b"", binary(Watch(tuple(range(1, 501)))) * 40),
}
"""What comes once, and what comes again and again."""


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_flood_is_not_read_for_a_while_and_another_device_is_served(tmp_path, flood: tuple[bytes, bytes]) -> None:
    opening, again = flood

    async def scenario(world: World) -> None:
        async with world.device(1, 11) as honest:
            reader, writer = await world.raw(2, 12)

            async def discard() -> None:
                while await reader.read(1 << 16):
                    pass

            reading = asyncio.create_task(discard())
            writer.write(opening)
            for _ in range(200):
                if writer.transport.get_write_buffer_size() < len(again):
                    writer.write(again)
                if (await world.stats())["indebted"] > 0:
                    break
                await asyncio.sleep(0.02)
            assert (await world.stats())["indebted"] > 0
            await honest.send(f.Heartbeat())
            assert isinstance(await honest.receive(10.0), f.Beat)
            writer.transport.abort()
            await asyncio.gather(reading, return_exceptions=True)

    in_world(scenario, tmp_path)


def test_a_page_costs_its_device_what_its_rows_cost(tmp_path) -> None:
    """A FETCH is small. Its page counts by its bytes."""
    rows = tuple(f.Message(1, seq, 0, 1, 1, seq, bytes(150)) for seq in range(1, 101))
    page, notice = f.encode(f.Page(1, 1, 100, 100, rows)), f.encode(f.Notify((f.Entry(1, 1, 0),)))
    assert budget.answer_s(page) > 4 * budget.elsewhere_s([Forward(f.Fetch(1, 1, 0, 100))])
    assert budget.answer_s(notice) == 0.0

    async def scenario(world: World) -> None:
        async with world.device(1, 12):
            reader, writer = await world.raw(1, 11)

            async def discard() -> None:
                while await reader.read(1 << 20):
                    pass

            reading = asyncio.create_task(discard())
            await world.wait_until_stat("routes_waiting", lambda n: n == 0)
            asked, other = (world.inside.connections[world.number_of(device)] for device in (11, 12))
            pages = int(budget.SAVED_S / budget.answer_s(page))
            delivered = 0
            while not asked.unheard and delivered < 2 * pages:
                world.deliver([11], f.decode_server(page))
                delivered += 1
                await asyncio.sleep(0.001)
            assert pages / 2 < delivered < 2 * pages
            assert not other.unheard
            await until(lambda: not asked.unheard)
            writer.transport.abort()
            await asyncio.gather(reading, return_exceptions=True)

    in_world(scenario, tmp_path)


def test_a_device_in_debt_loses_nothing_and_is_read_again(tmp_path) -> None:
    async def scenario(world: World) -> None:
        async with world.device() as device:
            count = 300  # 0.3 s of cost: more than is saved
            for number in range(1, count + 1):
                await device.ws.send(f.encode(f.Sync(number, 0, ())))
            await until(lambda: sum(isinstance(frame, SyncDevice) for frame in world.forwarded) == count)
            asked = [frame.req for frame in world.forwarded if isinstance(frame, SyncDevice)]
            assert asked == list(range(1, count + 1))
            assert (await world.stats())["indebted"] > 0

    in_world(scenario, tmp_path)


def test_only_the_last_watch_of_a_period_is_worked_on(tmp_path) -> None:
    async def scenario(world: World) -> None:
        async with world.device() as device:
            for number in range(1, 51):
                await device.ws.send(f.encode(Watch(tuple(range(1000 * number, 1000 * number + 100)))))
            await device.ws.send(f.encode(Watch((7,))))
            presence = world.inside.presence
            assert presence is not None
            await until(lambda: presence.watchers.watched == 1)
            assert presence.watchers.due() == [7]
            assert presence.looked <= 301  # a look or three, of the last word at each

    in_world(scenario, tmp_path, presence=MemoryPresence())


def test_a_device_in_debt_is_neither_silent_nor_away(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has answered, and the gateway does not look: for longer than silence is waited for."""
    monkeypatch.setattr(connection, "SLICE", 16 << 10)  # so that one debt is long enough

    async def scenario(world: World) -> None:
        async with world.device(1, 11) as honest:
            reader, writer = await world.raw(1, 13)
            await world.wait_until_stat("routes_waiting", lambda n: n == 0)
            answers = binary(f.Recv(1, 1))
            writer.write(binary(f.Sync(1, 0, ())) * 450)  # a debt of 0.25 s: not read for 5 s
            await world.wait_until_stat("indebted", lambda n: n > 0)
            world.deliver([13], f.Notify((f.Entry(1, 1, 0),)))
            writer.write(answers)
            debt_s = 450 * 0.001 - budget.SAVED_S
            assert budget.pause_s(debt_s, share=SHARE) > SILENT_S + 1
            for _ in range(round(budget.pause_s(debt_s, share=SHARE) / 0.5)):
                await asyncio.sleep(0.5)
                assert (await world.stats())["silent"] == 0
            await honest.send(f.Heartbeat())
            assert isinstance(await honest.receive(10.0), f.Beat)
            writer.transport.abort()
            del reader

    in_world(scenario, tmp_path, heartbeat_s=30)
