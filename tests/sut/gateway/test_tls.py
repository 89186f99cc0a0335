"""Devices that come by TLS or by IPv6: the same protocol, the same limits, the same ends."""

import asyncio
import socket
import ssl
import stat
import time
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sut.deploy.servers import certificates
from sut.deploy.topology import Tls
from sut.gateway.connection import LINGER_TICKS
from sut.gateway.timers import TICK_S
from sut.process.tls import TlsError, server_context
from sut.protocol.frames import Beat, Close, Heartbeat, Nack, Refused, Send, Welcome, encode
from sut.protocol.peer import Deliver
from tests.kit.waits import until
from tests.sut.gateway.world import Device, World, in_world, upgrade


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return certificates.make(tmp_path_factory.mktemp("tls"))


def trusting(tls: Tls, **versions: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca)
    for name, version in versions.items():
        setattr(context, name, version)
    return context


def secured(world: World, tls: Tls, user: int = 1, device: int = 11) -> connect:
    headers = {"Authorization": f"Bearer {world.token(user, device)}"}
    return connect(world.url, ssl=trusting(tls), additional_headers=headers, ping_interval=None)


def test_a_device_talks_by_tls(tmp_path, tls):
    async def scenario(world: World) -> None:
        assert world.url.startswith("wss://")
        assert next(iter(world.registry.leases.values()))[1] == world.url
        world.answer = lambda frame: Deliver((frame.conn,), encode(Refused(frame.conv, frame.client_seq, Nack.STALE)))
        async with secured(world, tls) as ws:
            device = Device(ws)
            assert isinstance(await device.receive(), Welcome)
            assert await device.ask(Send(1, 2, bytes(16_000))) == Refused(1, 2, Nack.STALE)
            assert await device.ask(Heartbeat()) == Beat(0)
            assert ws.transport.get_extra_info("ssl_object").version() in {"TLSv1.2", "TLSv1.3"}
        await world.wait_until_stat("sockets", lambda n: n == 0)

    in_world(scenario, tmp_path, tls=tls)


def test_ends_keep_their_codes_and_statuses(tmp_path, tls):
    async def scenario(world: World) -> None:
        async with secured(world, tls) as ws:
            device = Device(ws)
            await device.receive()
            await ws.send(b"\x7f")
            assert (await device.closed())[0] == Close.MALFORMED
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{world.url}?token=a.b.c", ssl=trusting(tls))
        assert caught.value.response.status_code == 401
        assert caught.value.response.body == b"token is malformed\n"
        async with secured(world, tls) as ws:
            await Device(ws).receive()
            began_s = time.monotonic()
            await ws.close(4321, "bye")
            assert ws.close_code == 4321
            assert time.monotonic() - began_s < 0.9 * LINGER_TICKS * TICK_S  # its own close needs no lingering
        await world.wait_until_stat("sockets", lambda n: n == 0)

    in_world(scenario, tmp_path, tls=tls)


def test_who_does_not_trust_the_authority_or_speaks_old_tls_or_none_gets_nothing(tmp_path, tls):
    async def scenario(world: World) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(world.url)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, OSError)):
            await asyncio.open_connection(*world.address("gateway-1", "ws"), ssl=old)
        reader, writer = await asyncio.open_connection(*world.address("gateway-1", "ws"))
        writer.write(upgrade(world.token()))
        assert b"HTTP" not in await reader.read()
        writer.close()
        await world.wait_until_stat("sockets", lambda n: n == 0)
        assert (await world.stats())["refused"] >= 3

    in_world(scenario, tmp_path, tls=tls)


def test_the_oldest_tls_is_said_here_whatever_the_machine_would_allow(tls):
    assert server_context(tls).minimum_version == ssl.TLSVersion.TLSv1_2


def test_half_a_handshake_counts_and_is_cut_by_the_deadline(tmp_path, tls):
    async def scenario(world: World) -> None:
        readers = [await asyncio.open_connection(*world.address("gateway-1", "ws")) for _ in range(3)]
        await world.wait_until_stat("sockets", lambda n: n == 3)
        with pytest.raises(InvalidStatus) as caught:
            async with secured(world, tls):
                pass
        assert caught.value.response.status_code == 429
        async with asyncio.timeout(3):
            for reader, writer in readers:
                assert await reader.read() == b""
                writer.close()
        await world.wait_until_stat("sockets", lambda n: n == 0)
        async with secured(world, tls) as ws:
            await Device(ws).receive()

    in_world(scenario, tmp_path, tls=tls, address_connections=3, handshake_timeout_s=1.0)


def test_a_device_that_does_not_read_is_dropped_by_tls_too(tmp_path, tls):
    async def scenario(world: World) -> None:
        async with secured(world, tls) as ws:
            await Device(ws).receive()
            await until(lambda: world.registry.entries)
            ws.transport.pause_reading()
            await world.flood(11)
            ws.transport.abort()

    in_world(scenario, tmp_path, tls=tls, send_buffer=64 * 1024)


def test_a_drain_sends_everybody_elsewhere_by_tls_too(tmp_path, tls):
    async def scenario(world: World) -> None:
        async with secured(world, tls) as ws:
            device = Device(ws)
            await device.receive()
            world.stop.set()
            assert (await device.closed())[0] == Close.GOING_AWAY
            assert world.gateway is not None
            await world.gateway

    in_world(scenario, tmp_path, tls=tls)


def test_a_certificate_that_cannot_be_used_is_one_line(tmp_path, tls):
    with pytest.raises(TlsError, match=r"nothing\.pem with .*key\.pem: No such file"):
        server_context(Tls(certificate=str(tmp_path / "nothing.pem"), key=tls.key, ca=tls.ca))
    other = certificates.make(tmp_path)
    with pytest.raises(TlsError) as caught:
        server_context(Tls(certificate=tls.certificate, key=other.key, ca=tls.ca))
    assert "\n" not in str(caught.value)


def test_the_key_is_its_owners_alone(tls):
    assert stat.S_IMODE(Path(tls.key).stat().st_mode) == 0o600


needs_ipv6 = pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 on this machine")


@needs_ipv6
@pytest.mark.parametrize(("host", "dials"), [("::1", ("::1",)), ("::", ("::1", "127.0.0.1"))])
def test_devices_come_by_ipv6_or_by_both(tmp_path, host, dials):
    async def scenario(world: World) -> None:
        assert "://[::" in world.url
        port = world.topology.service("gateway-1").ports["ws"]
        for number, dial in enumerate(dials, 1):
            reader, writer = await asyncio.open_connection(dial, port)
            writer.write(upgrade(world.token(number, number)))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            await reader.readexactly(2)
            writer.close()
        if dials == ("::1",):
            with pytest.raises(OSError, match=r"refused|Connect call failed"):
                await asyncio.open_connection("127.0.0.1", port)

    in_world(scenario, tmp_path, host=host)


@needs_ipv6
def test_ipv6_and_tls_together(tmp_path, tls):
    async def scenario(world: World) -> None:
        async with secured(world, tls) as ws:
            assert isinstance(await Device(ws).receive(), Welcome)

    in_world(scenario, tmp_path, host="::1", tls=tls)
