"""What a gateway does to those who break the rules: the documented status or close code, and on it goes."""

import asyncio
import fcntl
import socket
import struct
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sut.process.listening import UNSENT_BYTES
from sut.protocol import rising
from sut.protocol.frames import MAX_FRAME, Beat, Close, Heartbeat, Nack, Recv, Refused, Send, encode
from sut.protocol.peer import Deliver, Submit
from sut.protocol.tokens import issue
from tests.kit.waits import until
from tests.sut.gateway.world import KEY, World, in_world, upgrade

SIOCOUTQNSD = 0x894B
"""Linux: bytes of a socket that were not sent."""


async def assert_alive(world: World) -> None:
    """The gateway still serves a good device."""
    async with world.device(user=99, device=99) as device:
        assert await device.ask(Heartbeat()) == Beat(0)


async def answer_to(world: World, request: bytes, *, timeout_s: float = 5.0) -> bytes:
    """All that the gateway says to these bytes until it hangs up."""
    reader, writer = await asyncio.open_connection(*world.address("gateway-1", "ws"))
    writer.write(request)
    async with asyncio.timeout(timeout_s):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("token", "line"),
    [
        (issue(bytes(32), 1, 11, 60, time.time()), b"token has a bad signature\n"),
        (issue(KEY, 1, 11, 60, time.time() - 100), b"token has expired\n"),
        ("nonsense", b"token is malformed\n"),
        ("", b"no token: send Authorization: Bearer TOKEN, or ?token=TOKEN\n"),
    ],
    ids=["signature", "expired", "nonsense", "none"],
)
def test_a_bad_token_gets_401_and_one_line(tmp_path, token, line):
    async def scenario(world: World) -> None:
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{world.url}?token={token}")
        assert caught.value.response.status_code == 401
        assert caught.value.response.body == line
        await assert_alive(world)

    in_world(scenario, tmp_path)


def test_bad_requests_get_their_status(tmp_path):
    async def scenario(world: World) -> None:
        good = upgrade(world.token())
        for request, status in (
            (good.replace(b"/v1/ws", b"/elsewhere"), 404),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
            (b"GET /v1/ws\r\n\r\n", 400),
            (good.replace(b"Upgrade: websocket\r\n", b""), 426),
            (good.replace(b"GET", b"PUT"), 405),
            (good.replace(b"Host: x", b"X: " + b"y" * 9000), 431),
            (b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ):
            head, _, body = (await answer_to(world, request)).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert body.count(b"\n") == 1
        await assert_alive(world)

    in_world(scenario, tmp_path)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x82\x01\x05", Close.PROTOCOL),  # not masked
        (struct.pack("!BBQ", 0x82, 0xFF, MAX_FRAME + 1 << 8) + bytes(2000), Close.TOO_BIG),
        (b"\x81\x80abcd", Close.TEXT),
        (b"\x8f\x80abcd", Close.PROTOCOL),
        (b"\xc2\x80abcd", Close.PROTOCOL),
        (b"\x88\x82\x00\x00\x00\x00\x03\xed", Close.PROTOCOL),  # 1005 on the wire
    ],
)
def test_bad_frames_are_answered_with_their_close_code(tmp_path, sent, code):
    async def scenario(world: World) -> None:
        reader, writer = await world.raw()
        writer.write(sent)
        async with asyncio.timeout(3):
            said = await reader.read()
        assert b"\x88" in said
        _, length, got = struct.unpack_from("!BBH", said, said.rindex(b"\x88"))
        assert got == code
        assert 2 < length <= 125
        writer.close()
        await world.wait_until_stat("connections", lambda n: n == 0)
        assert (await world.stats())[f"closed_{int(code)}"] == 1
        await assert_alive(world)

    in_world(scenario, tmp_path)


@pytest.mark.parametrize("message", [b"\x7f", b"", encode(Recv(1, 2)) + b"x", "text"])
def test_bad_messages_close_with_their_code(tmp_path, message):
    async def scenario(world: World) -> None:
        async with world.device() as device:
            await device.ws.send(message)
            code, frames = await device.closed()
            assert code == (Close.TEXT if message == "text" else Close.MALFORMED)
            assert frames == []
        await assert_alive(world)

    in_world(scenario, tmp_path)


def test_a_number_ahead_of_the_clock_is_refused_and_the_next_one_has_room(tmp_path):
    """Otherwise one SEND with the highest number of all would be the last one that its device ever sends there."""

    async def scenario(world: World) -> None:
        now = int(time.time() * 1000) * rising.A_MS
        async with world.device() as device:
            for number in ((1 << 63) - 1, (1 << 64) - 1, now + 3_600_000 * rising.A_MS):
                assert await device.ask(Send(7, number, b"x")) == Refused(7, number, Nack.AHEAD)
            soon = now + 30_000 * rising.A_MS
            refused = await device.ask(Send(7, soon, b"x"))
            assert isinstance(refused, Refused)
            assert not refused.definite, "clocks differ: it comes again"
            assert refused.retry_after_s > 1
            for number in (1, now - 1):
                await device.ws.send(encode(Send(7, number, b"x")))
            await until(lambda: len([frame for frame in world.forwarded if isinstance(frame, Submit)]) == 2)

    in_world(scenario, tmp_path)


def test_who_still_sends_gets_the_close_code_and_no_reset(tmp_path):
    async def scenario(world: World) -> None:
        reader, writer = await world.raw()
        writer.write(struct.pack("!BBQ", 0x82, 0xFF, 8 << 20) + bytes(4 << 20))
        async with asyncio.timeout(3):
            await writer.drain()
            await world.wait_until_stat(f"closed_{int(Close.TOO_BIG)}", bool)
            writer.write(bytes(100))
            await asyncio.sleep(0.1)  # a reset would have come, and taken the close frame with it
            said = await reader.read()
        assert struct.pack("!H", Close.TOO_BIG) in said
        await assert_alive(world)

    in_world(scenario, tmp_path)


def test_who_does_not_hang_up_is_cut(tmp_path):
    async def scenario(world: World) -> None:
        _reader, silent = await world.raw(1, 11)
        silent.write(b"\x82\x01\x05")
        _reader, refused = await asyncio.open_connection(*world.address("gateway-1", "ws"))
        refused.write(b"nonsense\r\n\r\n")
        await world.wait_until_stat("refused", bool)
        assert (await world.stats())["sockets"] == 2
        await world.wait_until_stat("sockets", lambda n: n == 0)
        silent.close()
        refused.close()

    in_world(scenario, tmp_path)


def test_a_send_to_a_foreign_conversation_closes_when_the_system_says_so(tmp_path):
    async def scenario(world: World) -> None:
        def refuse(frame):
            assert isinstance(frame, Submit)
            return Deliver((frame.conn,), encode(Refused(frame.conv, frame.client_seq, Nack.FOREIGN)), Close.FOREIGN)

        world.answer = refuse
        async with world.device() as device:
            await device.send(Send(666, 1, b"x"))
            assert await device.closed() == (Close.FOREIGN, [Refused(666, 1, Nack.FOREIGN)])
        await assert_alive(world)

    in_world(scenario, tmp_path)


@pytest.mark.parametrize("drip", [True, False])
def test_a_slow_handshake_is_cut_by_its_total_time(tmp_path, drip):
    async def scenario(world: World) -> None:
        reader, writer = await asyncio.open_connection(*world.address("gateway-1", "ws"))
        began_s = time.monotonic()
        answer = asyncio.create_task(reader.read())
        for byte in upgrade(world.token()):
            if answer.done():
                break
            if drip:
                writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        assert (await answer).startswith(b"HTTP/1.1 408 ")
        assert 0.4 <= time.monotonic() - began_s <= 1.5
        writer.close()
        await assert_alive(world)

    in_world(scenario, tmp_path, handshake_timeout_s=0.5)


def test_a_device_that_does_not_read_is_dropped_and_its_buffer_is_bounded(tmp_path):
    async def scenario(world: World) -> None:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, world.address("gateway-1", "ws"))
            await loop.sock_sendall(sock, upgrade(world.token()))
            await until(lambda: world.registry.entries)
            await world.flood(11)
        await assert_alive(world)

    in_world(scenario, tmp_path, send_buffer=64 * 1024)


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system cannot bound what is not sent")
def test_what_waits_for_a_device_that_does_not_read_waits_where_it_is_counted(tmp_path):
    """The kernel takes a page and the packet it was cutting, not megabytes."""

    async def scenario(world: World) -> None:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, world.address("gateway-1", "ws"))
            await loop.sock_sendall(sock, upgrade(world.token()))
            await until(lambda: world.registry.entries)
            item = Deliver((world.number_of(11),), bytes(17_000))
            for _ in range(60):  # 1 MB: the kernel alone would take three
                world.sequencer.send(item)
            await world.stats()
            (connection,) = world.inside.connections.values()
            ours = connection._transport.get_extra_info("socket")
            unsent = struct.unpack("i", fcntl.ioctl(ours.fileno(), SIOCOUTQNSD, b"\0" * 4))[0]
            assert unsent <= UNSENT_BYTES + (64 << 10)
            assert connection._transport.get_write_buffer_size() > 500_000

    in_world(scenario, tmp_path, send_buffer=4 << 20)


def test_a_device_that_reads_late_but_reads_gets_everything(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device() as device:
            device.ws.transport.pause_reading()
            frame = bytes(36_000)
            for _ in range(20):  # 720 KB: within the bound, whatever the kernel's buffers hold
                world.sequencer.send(Deliver((world.number_of(11),), frame))
            await asyncio.sleep(0.2)
            device.ws.transport.resume_reading()
            async with asyncio.timeout(5):
                assert [len(await device.ws.recv()) for _ in range(20)] == [len(frame)] * 20
            assert await device.ask(Heartbeat()) == Beat(0)

    in_world(scenario, tmp_path, send_buffer=1 << 20)


def test_who_is_idle_for_two_heartbeats_is_closed_and_who_beats_is_not(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as silent, world.device(1, 12) as beating:
            closed = asyncio.create_task(silent.closed())
            began_s = time.monotonic()
            while not closed.done():
                await beating.ask(Heartbeat())
                await asyncio.sleep(0.1)
            assert await closed == (Close.IDLE, [])
            assert 0.7 <= time.monotonic() - began_s <= 2.0
            assert await beating.ask(Heartbeat()) == Beat(0)
            assert world.registry.entries.keys() == {(1, 12)}

    in_world(scenario, tmp_path, heartbeat_s=0.4)


def test_without_a_chat_service_requests_are_refused_as_unavailable(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device() as device:
            await world.chat.close()
            await world.wait_until_stat("chats_up", lambda n: n == 0)
            assert await device.ask(Send(1, 2, b"x")) == Refused(1, 2, Nack.UNAVAILABLE)
            assert await device.ask(Heartbeat()) == Beat(0)

    in_world(scenario, tmp_path)
