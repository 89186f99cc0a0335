"""A gateway's start and end: DRAIN, a port in use, a process that was stopped for a while."""

import asyncio
import os
import select
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
import uvloop
from websockets.exceptions import InvalidStatus

from sut.gateway.gateway import Gateway
from sut.gateway.process import run
from sut.ports import Unavailable
from sut.process.peer import PortInUse, ping
from sut.protocol.frames import Beat, Close, Drain, Heartbeat
from tests.kit.waits import until
from tests.sut.gateway.world import Device, MemoryRegistry, World, in_world, topology, upgrade


def test_drain_sends_everybody_elsewhere_within_its_bound(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as one, world.device(1, 12) as other:
            half_open, _writer = await world.raw(1, 13)  # never answers the close
            began_s = time.monotonic()
            world.stop.set()
            await until(lambda: not world.registry.leases)
            assert await one.closed() == (Close.GOING_AWAY, [Drain(500)])
            assert await other.closed() == (Close.GOING_AWAY, [Drain(500)])
            with pytest.raises(OSError, match=r"refused|Connect call failed"):
                await asyncio.open_connection(*world.address("gateway-1", "ws"))
            assert world.gateway is not None
            await world.gateway
            assert time.monotonic() - began_s < 0.5 + 3
            assert b"\x88" in await half_open.read()
            assert not world.registry.entries

    in_world(scenario, tmp_path, drain_base_s=0.5)


def test_without_epoll_a_gateway_does_the_same(tmp_path, monkeypatch):
    monkeypatch.delattr(select, "epoll")

    async def scenario(world: World) -> None:
        async with world.device(1, 11) as device:
            await device.send(Heartbeat())
            assert await device.receive() == Beat(0)
            world.stop.set()
            assert await device.closed() == (Close.GOING_AWAY, [Drain(500)])

    assert not in_world(scenario, tmp_path, drain_base_s=0.5).entries


def test_a_gateway_that_drains_takes_no_half_finished_handshake(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device():
            reader, writer = await asyncio.open_connection(*world.address("gateway-1", "ws"))
            request = upgrade(world.token(1, 12))
            writer.write(request[:40])
            await world.wait_until_stat("sockets", lambda n: n == 2)
            world.stop.set()
            await world.wait_until_stat("draining", bool)
            writer.write(request[40:])
            assert (await reader.read()).startswith(b"HTTP/1.1 503 ")

    in_world(scenario, tmp_path, drain_base_s=0.5)


def test_a_gateway_without_devices_ends_at_once(tmp_path):
    async def scenario(world: World) -> None:
        began_s = time.monotonic()
        world.stop.set()
        assert world.gateway is not None
        await world.gateway
        assert time.monotonic() - began_s < 0.5

    in_world(scenario, tmp_path, drain_base_s=2)


@pytest.mark.parametrize("role", ["ws", "peer"])
def test_a_port_in_use_is_one_clear_line(tmp_path, role):
    one = topology(tmp_path)
    service = one.service("gateway-1")

    async def scenario() -> None:
        blocker = await asyncio.start_server(lambda _r, _w: None, service.host, service.ports[role])
        async with blocker:
            gateway = Gateway(one, service, incarnation=1, registry=MemoryRegistry(), max_sockets=10)
            await run(gateway, asyncio.Event())

    with pytest.raises(PortInUse) as caught:
        uvloop.run(scenario())
    assert str(caught.value).startswith(f"gateway-1: cannot listen on 127.0.0.1:{service.ports[role]}: ")
    assert "\n" not in str(caught.value)


def test_more_sockets_than_files_allow_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sut.gateway.process.max_sockets", lambda: 2)

    async def scenario(world: World) -> None:
        async with world.device(1, 11), world.device(1, 12) as device:
            with pytest.raises(InvalidStatus) as caught:
                await world.connect(1, 13)
            assert caught.value.response.status_code == 503
            for _ in range(200):  # more than are even told
                _reader, writer = await asyncio.open_connection(*world.address("gateway-1", "ws"))
                writer.close()
            assert await device.ask(Heartbeat()) == Beat(0)
        await world.wait_until_stat("sockets", lambda n: n == 0)
        async with world.device(1, 13) as device:
            assert await device.ask(Heartbeat()) == Beat(0)

    in_world(scenario, tmp_path)


def test_after_a_stop_of_the_process_nobody_was_idle_and_the_routes_are_announced(tmp_path):
    """SIGSTOP for longer than the idle time and the lease; the devices go on as soon as it is continued."""

    async def scenario() -> None:
        world = World(topology(tmp_path, heartbeat_s=0.5, lease_ttl_s=0.6), MemoryRegistry())
        script = Path(__file__).with_name("lone_gateway.py")
        process = await asyncio.create_subprocess_exec(sys.executable, str(script), str(tmp_path), str(os.getpid()))
        try:
            world.sequencer.start()
            await until(lambda: world.sequencer.up, timeout_s=15)
            await world.wait_until_stat("whole", bool)
            async with world.connect() as ws:
                device = Device(ws)
                await device.receive()
                while (await device.ask(Heartbeat())) != Beat(0):
                    pass
                process.send_signal(signal.SIGSTOP)
                await until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
                await asyncio.sleep(1.3)
                process.send_signal(signal.SIGCONT)
                for _ in range(5):
                    assert await device.ask(Heartbeat()) == Beat(0)
                    await asyncio.sleep(0.1)
                begun, routes = world.announced()[:2]
                assert begun.anew and begun.since_ms > 600, "the lease had lapsed"
                assert [device for _, device, _, _ in routes.there] == [11]
                stats = await world.stats()
                assert stats["stalls"] >= 1
                assert stats["lease_lapses"] >= 1
                assert stats["connections"] == 1
        finally:
            process.terminate()
            assert await process.wait() == 0
            await world.sequencer.close()
        with pytest.raises(Unavailable):
            ping(*world.address("gateway-1"), 0.2)

    uvloop.run(scenario())
