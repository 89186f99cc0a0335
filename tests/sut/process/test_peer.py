"""Links over real sockets: questions, one-way frames, a peer that vanishes, one that freezes, a wrong one."""

import asyncio
import socket
from functools import partial

import pytest
import uvloop

from sut.ports import Unavailable
from sut.process import peer
from sut.process.peer import PeerConnection, PeerLink, PeerServer, PortInUse, ping
from sut.protocol.frames import FrameError
from sut.protocol.peer import ANSWER, Heads, Hello, PeerFrame, Poke, ReadHeads, decode, encode
from tests.kit.waits import until


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def loop_of(request):
    return request.param


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def doubling(connection: PeerConnection, correlation: int, frame: PeerFrame) -> None:
    assert isinstance(frame, ReadHeads)
    connection.send(Heads(tuple(2 * conv for conv in frame.convs)), correlation | ANSWER)


async def serve(port: int, **kwargs) -> PeerServer:
    server = PeerServer(node="chat-1", incarnation=7, on_frame=kwargs.pop("on_frame", doubling), **kwargs)
    await server.start("127.0.0.1", port)
    return server


def dial(port: int, target="chat-1", **kwargs) -> PeerLink:
    link = PeerLink(node="gateway-1", incarnation=1, target=target, address=("127.0.0.1", port), **kwargs)
    link.start()
    return link


def test_noise_on_a_link_is_a_frame_error() -> None:
    hello = encode(Hello("gateway-1", 7))[4:]
    for noise in (b"", hello[:4], hello[:-1], hello.replace(b"gateway", b"\xff\xfeteway"), b"\0\0\0\0\xc1"):
        with pytest.raises(FrameError):
            decode(noise)


def test_a_process_with_room_holds_a_long_frame_and_breaks_the_link_for_too_long_a_one(loop_of):
    async def run():
        port = free_port()
        server = await serve(port)
        held = partial(asyncio.to_thread, peer.holds, "127.0.0.1", port, 1.0)
        assert await held(size=8 << 20)
        assert not await held(size=(16 << 20) + 1)
        await server.close()
        with pytest.raises(Unavailable):
            await held(size=8 << 20)

    loop_of(run())


def test_asks_in_parallel_are_answered_each_by_its_own(loop_of):
    async def run():
        port = free_port()
        server, link = await serve(port), dial(port)
        await until(lambda: link.up)
        answers = await asyncio.gather(*(link.ask(ReadHeads(1, (n,)), 2.0) for n in range(500)))
        assert answers == [Heads((2 * n,)) for n in range(500)]
        assert link.peer_incarnation == 7
        await link.close()
        await server.close()

    loop_of(run())


def test_link_comes_back_after_the_peer_restarts_and_pending_questions_fail_at_once(loop_of):
    async def run():
        port = free_port()
        ups, downs = [], []
        server = await serve(port, on_frame=lambda *_: None)
        link = dial(port, on_up=lambda: ups.append(1), on_down=lambda: downs.append(1))
        await until(lambda: link.up)
        question = asyncio.create_task(link.ask(ReadHeads(1, (1,)), 30.0))
        await asyncio.sleep(0.05)
        await server.close()
        with pytest.raises(Unavailable, match="link broke"):
            await question
        with pytest.raises(Unavailable, match="down"):
            await link.ask(ReadHeads(1, (1,)), 1.0)
        server = await serve(port)
        await until(lambda: link.up)
        assert (len(ups), len(downs)) == (2, 1)
        await link.close()
        await server.close()

    loop_of(run())


def test_a_link_that_was_up_for_a_while_is_dialled_again_at_once(loop_of, monkeypatch):
    monkeypatch.setattr(peer, "BACKOFF_S", (60.0, 60.0))

    async def run():
        port = free_port()
        server, link = await serve(port), dial(port)
        await until(lambda: link.up)
        await asyncio.sleep(peer.PING_AFTER_S + 0.2)
        for connection in server.connections:
            connection.abort()
        await until(lambda: link.ups == 2 and link.up, 1.0)
        for connection in server.connections:
            connection.abort()
        await asyncio.sleep(0.3)
        assert not link.up, "the second one lived too shortly"
        await link.close()
        await server.close()

    loop_of(run())


def test_a_peer_that_accepts_and_says_nothing_is_no_link(loop_of):
    async def run():
        port = free_port()
        mute = await asyncio.start_server(lambda r, w: asyncio.sleep(60), "127.0.0.1", port)
        link = dial(port)
        await asyncio.sleep(1.5)
        assert not link.up
        await link.close()
        mute.close()

    loop_of(run())


def test_silence_drops_both_ends(loop_of):
    """Like a partition: a relay that stops forwarding keeps the sockets open, yet both ends notice within seconds."""

    async def run():
        port, relay_port, flowing = free_port(), free_port(), asyncio.Event()
        flowing.set()
        downs = []
        server = await serve(port, on_down=lambda c: downs.append(c.node))

        async def pump(reader, writer):
            while data := await reader.read(65536):
                await flowing.wait()
                writer.write(data)

        async def relay(reader, writer):
            to_server, from_server = (await asyncio.open_connection("127.0.0.1", port))[::-1]
            await asyncio.gather(pump(reader, to_server), pump(from_server, writer))

        middle = await asyncio.start_server(relay, "127.0.0.1", relay_port)
        link = dial(relay_port)
        await until(lambda: link.up)
        flowing.clear()
        await until(lambda: not link.up and downs == ["gateway-1"], timeout_s=6.0)
        flowing.set()
        await until(lambda: link.up)
        await link.close()
        await server.close()
        middle.close()

    loop_of(run())


def test_another_process_behind_the_address_is_refused(loop_of):
    async def run():
        port = free_port()
        server, link = await serve(port), dial(port, target="chat-2")
        await asyncio.sleep(0.5)
        assert not link.up
        await link.close()
        await server.close()

    loop_of(run())


def test_garbage_is_dropped_and_the_server_goes_on(loop_of):
    async def run():
        port = free_port()
        server = await serve(port)
        for garbage in (
            b"\xff" * 64,
            b"\x00\x00\x00\x01x",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\0\0\0\x08\0\0\0\0\xc1\xc1\xc1\xc1",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(garbage)
            async with asyncio.timeout(2):
                while await reader.read(1024):
                    pass
            writer.close()
        pong = await asyncio.to_thread(ping, "127.0.0.1", port, 2.0)
        assert (pong.node, pong.incarnation) == ("chat-1", 7)
        await server.close()

    loop_of(run())


def test_a_full_link_refuses_instead_of_growing(loop_of):
    async def run():
        port = free_port()
        stuck = await asyncio.start_server(lambda r, w: w.write(b"") or asyncio.sleep(60), "127.0.0.1", free_port())
        server = await serve(port, on_frame=lambda c, n, f: None)
        link = dial(port)
        await until(lambda: link.up)
        for connection in server.connections:
            connection._transport.pause_reading()
        taken = 0
        big = ReadHeads(1, tuple(range(10**12, 10**12 + 20_000)))
        while link.send(big) and taken < 1000:
            taken += 1
        assert taken < 200
        await link.close()
        await server.close()
        stuck.close()

    loop_of(run())


def test_port_in_use_names_it(loop_of):
    async def run():
        port = free_port()
        server = await serve(port)
        with pytest.raises(PortInUse, match=f"chat-1: cannot listen on 127.0.0.1:{port}"):
            await serve(port)
        await server.close()

    loop_of(run())


def test_one_way_frames_arrive_in_order(loop_of):
    async def run():
        port, seen = free_port(), []
        server = await serve(port, on_frame=lambda c, n, f: seen.append(f.partition))
        link = dial(port)
        await until(lambda: link.up)
        assert all(link.send(Poke(n)) for n in range(1000))
        await until(lambda: len(seen) == 1000)
        assert seen == list(range(1000))
        await link.close()
        await server.close()

    loop_of(run())


def test_ping_says_why_it_failed():
    with pytest.raises(Unavailable, match="refused"):
        ping("127.0.0.1", free_port(), 0.5)
