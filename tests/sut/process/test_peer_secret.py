"""Links between processes: who does not know the secret gets nothing in, gets nothing out, and does not stay."""

import asyncio
import contextlib
import socket

import pytest

from sut.ports import Unavailable
from sut.process import peer as peer_module
from sut.process.peer import PeerLink, PeerServer, ping
from sut.protocol.peer import NONCE_SIZE, Hello, Ping, Poke, Proof, encode, is_proven, proof
from tests.kit.waits import until

SECRET = bytes(range(32))


class Served:
    """A server with the secret, and what reached it."""

    def __init__(self) -> None:
        self.frames: list[object] = []
        self.ups: list[str] = []
        self.server = PeerServer(
            node="chat-1",
            incarnation=7,
            secret=SECRET,
            on_frame=lambda _connection, _correlation, frame: self.frames.append(frame),
            on_up=lambda connection: self.ups.append(connection.node),
        )
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = int(sock.getsockname()[1])

    async def __aenter__(self) -> "Served":
        await self.server.start("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.close()

    def dial(self, secret: bytes, port: int = 0) -> PeerLink:
        address = ("127.0.0.1", port or self.port)
        link = PeerLink(node="gateway-1", incarnation=1, target="chat-1", address=address, secret=secret)
        link.start()
        return link

    async def say(self, *pieces: bytes) -> bytes:
        """Send these bytes on a new connection. Returns what came until the server closed it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"".join(pieces))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                return await reader.read()
        return b""


def test_both_ends_prove_the_secret_and_then_talk() -> None:
    async def run() -> None:
        async with Served() as served:
            link = served.dial(SECRET)
            await until(lambda: link.up)
            assert link.send(Poke(3))
            await until(lambda: served.frames == [Poke(3)])
            assert (await asyncio.to_thread(ping, "127.0.0.1", served.port, 2.0, SECRET)).node == "chat-1"
            await link.close()

    asyncio.run(run())


@pytest.mark.parametrize("wrong", [b"", b"\0" * 32, SECRET[:-1]])
def test_nobody_gets_in_without_the_secret(wrong: bytes) -> None:
    async def run() -> None:
        async with Served() as served:
            link = served.dial(wrong)
            with pytest.raises(Unavailable):
                await asyncio.to_thread(ping, "127.0.0.1", served.port, 1.0, wrong)
            await asyncio.sleep(0.3)
            assert not link.up
            assert not link.send(Poke(1))
            assert (served.ups, served.frames) == ([], [])
            await link.close()

    asyncio.run(run())


def test_frames_before_a_proof_reach_nobody_and_end_the_connection() -> None:
    hello = encode(Hello("gateway-1", 1, b"n" * NONCE_SIZE))

    async def run() -> None:
        async with Served() as served:
            for pieces in (
                (hello, encode(Poke(1))),
                (hello, encode(Ping(), 1)),
                (hello, encode(Proof(b"")), encode(Poke(1))),
                (hello, encode(Proof(b"\0" * 32)), encode(Poke(1))),
                (hello, hello),
                (encode(Poke(1)),),
                (encode(Proof(b"\0" * 32)),),
                ((1 << 20).to_bytes(4, "big"),),
            ):
                answer = await served.say(*pieces)
                assert b"stats" not in answer
            assert (served.ups, served.frames) == ([], [])
            assert not served.server._unproven

    asyncio.run(run())


def test_a_proof_that_was_overheard_opens_no_second_connection() -> None:
    """All that an honest process sent is sent again, on a new connection: the server's nonce is another one."""

    async def run() -> None:
        async with Served() as served:
            heard = bytearray()

            async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                there_in, there_out = await asyncio.open_connection("127.0.0.1", served.port)

                async def up() -> None:
                    while data := await reader.read(65536):
                        heard.extend(data)
                        there_out.write(data)

                async def down() -> None:
                    while data := await there_in.read(65536):
                        writer.write(data)

                with contextlib.suppress(ConnectionError):
                    await asyncio.gather(up(), down())

            middle = await asyncio.start_server(relay, "127.0.0.1", 0)
            port = middle.sockets[0].getsockname()[1]
            link = PeerLink(
                node="gateway-1", incarnation=1, target="chat-1", address=("127.0.0.1", port), secret=SECRET
            )
            link.start()
            await until(lambda: link.up)
            link.send(Poke(1))
            await until(lambda: served.frames == [Poke(1)])
            await served.say(bytes(heard))
            assert (served.ups, served.frames) == (["gateway-1"], [Poke(1)])
            await link.close()
            middle.close()

    asyncio.run(run())


def test_whoever_takes_over_a_port_is_no_peer() -> None:
    """Somebody without the secret listens where chat-1 did, and sends back what he hears, or a proof of his own."""

    async def run(*, echo: bool) -> None:
        heard = bytearray()

        async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if not echo:
                writer.write(encode(Hello("chat-1", 7, b"n" * NONCE_SIZE)) + encode(Proof(b"\0" * 32)))
            while data := await reader.read(65536):
                heard.extend(data)
                if echo:
                    writer.write(data.replace(b"gateway-1", b"chat-1"))

        listening = await asyncio.start_server(impostor, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        link = PeerLink(node="gateway-1", incarnation=1, target="chat-1", address=("127.0.0.1", port), secret=SECRET)
        link.start()
        await until(lambda: len(heard) > 100)
        assert not link.up
        await link.close()
        listening.close()

    asyncio.run(run(echo=False))
    asyncio.run(run(echo=True))


def test_a_proof_holds_for_one_direction_and_these_two_hellos_only() -> None:
    own, other = Hello("a", 1, b"x" * NONCE_SIZE), Hello("b", 2, b"y" * NONCE_SIZE)
    mac = Proof(proof(SECRET, other, own, dials=False))
    assert is_proven(mac, SECRET, own=own, other=other, dials=True)
    assert not is_proven(mac, SECRET, own=own, other=other, dials=False)
    assert not is_proven(mac, SECRET, own=Hello("a", 1, b"z" * NONCE_SIZE), other=other, dials=True)
    assert not is_proven(mac, SECRET, own=own, other=Hello("c", 2, b"y" * NONCE_SIZE), dials=True)
    assert not is_proven(mac, b"", own=own, other=other, dials=True)
    assert not is_proven(Ping(), SECRET, own=own, other=other, dials=True)
    short = Hello("b", 2, b"")
    assert not is_proven(Proof(proof(SECRET, short, own, dials=False)), SECRET, own=own, other=short, dials=True)


def test_a_socket_that_never_says_hello_is_dropped_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_module, "HELLO_S", 0.5)
    hello = encode(Hello("gateway-1", 1, b"n" * NONCE_SIZE))

    async def run() -> None:
        async with Served() as served:
            link = served.dial(SECRET)
            await until(lambda: link.up)
            async with asyncio.timeout(10):
                await asyncio.gather(*(served.say(said) for said in (b"", hello[:3], hello)))
            assert link.up
            await link.close()

    asyncio.run(run())


def test_many_silent_sockets_keep_no_peer_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_module, "MAX_UNPROVEN", 20)

    async def run() -> None:
        async with Served() as served:
            silent = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(50)]
            link = served.dial(SECRET)
            await until(lambda: link.up)
            assert len(served.server._unproven) <= 20
            for _reader, writer in silent:
                writer.close()
            await link.close()

    asyncio.run(run())
