"""Sockets without a transport of the loop: what asyncio's transports do, these do too."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
import uvloop

from sut.gateway import sockets
from sut.gateway.connection import Connection
from sut.gateway.sockets import BUSY_PER_S, HIGH, Pace, Wire, Wires
from tests.kit.pace import scaled
from tests.kit.waits import until


class Protocol:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.data = b""
        self.fails = False
        self.begins = False

    def connection_made(self, _transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self.fails:
            raise ValueError("a bug")

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.told.append(f"lost {type(error).__name__}")


class Pair:
    """A Wire and the peer's socket."""

    def __init__(self, wires: Wires) -> None:
        ours, self.peer = socket.socketpair()
        for one in (ours, self.peer):
            one.setblocking(False)
        self.protocol = Protocol()
        self.wire = Wire(wires, ours, cast("Connection", self.protocol))

    async def read(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            data = await asyncio.get_running_loop().sock_recv(self.peer, 1 << 20)
            if not data:
                break
            found += data
        return found


def with_pair(scenario: Callable[[Pair, Wires], Coroutine[Any, Any, None]]) -> Pair:
    async def live() -> Pair:
        wires = Wires()
        pair = Pair(wires)
        try:
            await scenario(pair, wires)
            wires.close()
            await asyncio.sleep(0)
        finally:
            pair.peer.close()
        assert not wires.wires
        return pair

    return uvloop.run(live())


def test_what_is_written_in_one_turn_goes_out_in_order() -> None:
    async def scenario(pair: Pair, _wires: Wires) -> None:
        for number in range(100):
            pair.wire.write(bytes([number]))
        assert pair.wire.get_write_buffer_size() == 100, "nothing is written before the turn ends"
        assert await pair.read(100) == bytes(range(100))
        assert pair.wire.get_write_buffer_size() == 0
        pair.peer.send(b"answer")
        await until(lambda: pair.protocol.data == b"answer")

    assert with_pair(scenario).protocol.told == ["made", "lost NoneType"]


def test_a_peer_that_does_not_read_pauses_the_protocol_until_it_has_read() -> None:
    async def scenario(pair: Pair, _wires: Wires) -> None:
        pair.wire.set_write_buffer_limits(high=1000)
        sent = b""
        while "pause" not in pair.protocol.told:
            piece = bytes([len(sent) % 251]) * 777
            pair.wire.write(piece)
            sent += piece
            await asyncio.sleep(0)
        assert pair.wire.get_write_buffer_size() > 1000
        assert await pair.read(len(sent)) == sent
        await until(lambda: pair.protocol.told[-1] == "resume")
        assert pair.protocol.told.count("pause") == pair.protocol.told.count("resume")

    with_pair(scenario)


def test_more_than_the_limit_in_one_turn_is_not_kept() -> None:
    async def scenario(pair: Pair, _wires: Wires) -> None:
        for _ in range(4):
            pair.wire.write(bytes(HIGH // 2 + 1))
        assert pair.wire.get_write_buffer_size() < 2 * HIGH
        assert len(await pair.read(4 * (HIGH // 2 + 1))) == 4 * (HIGH // 2 + 1)

    with_pair(scenario)


def test_what_waits_is_written_before_the_end_and_the_peer_may_still_send() -> None:
    async def scenario(pair: Pair, _wires: Wires) -> None:
        pair.wire.write(b"last words")
        pair.wire.write_eof()
        pair.wire.write(b"too late")
        assert await pair.read(100) == b"last words"
        assert not pair.wire.is_closing()
        pair.peer.send(b"goodbye")
        await until(lambda: pair.protocol.data == b"goodbye")
        pair.peer.close()
        await until(lambda: pair.protocol.told[-1].startswith("lost"))

    assert with_pair(scenario).protocol.told == ["made", "lost NoneType"]


def test_a_close_writes_what_waits_and_reads_no_more() -> None:
    async def scenario(pair: Pair, _wires: Wires) -> None:
        pair.wire.write(b"last words")
        pair.wire.close()
        pair.wire.close()
        assert await pair.read(100) == b"last words"
        assert pair.wire.get_extra_info("peername") is None

    assert with_pair(scenario).protocol.told == ["made", "lost NoneType"]


def test_an_abort_and_a_reset_end_at_once_and_once() -> None:
    async def scenario(pair: Pair, wires: Wires) -> None:
        other = Pair(wires)
        pair.wire.write(bytes(10))
        pair.wire.abort()
        pair.wire.abort()
        assert pair.protocol.told == ["made"], "the protocol is told in the next turn"
        other.peer.close()
        other.wire.write(b"x")
        await until(lambda: other.protocol.told[-1].startswith("lost"))
        assert other.protocol.told.count("made") == 1
        assert len(other.protocol.told) == 2

    assert with_pair(scenario).protocol.told == ["made", "lost NoneType"]


@pytest.mark.parametrize("goes", [False, True], ids=["waits", "goes"])
def test_a_paused_connection_reads_nothing_until_it_resumes(goes: bool) -> None:
    async def scenario(pair: Pair, _wires: Wires) -> None:
        pair.wire.pause_reading()
        pair.peer.send(b"early")
        if goes:
            pair.peer.shutdown(socket.SHUT_WR)
        await asyncio.sleep(0.05)
        assert pair.protocol.data == b""
        pair.wire.resume_reading()
        await until(lambda: pair.protocol.data == b"early")
        if goes:
            await until(lambda: pair.protocol.told[-1].startswith("lost"))

    with_pair(scenario)


def test_a_peer_that_is_gone_ends_a_paused_connection_without_a_busy_loop() -> None:
    async def scenario(pair: Pair, _wires: Wires) -> None:
        pair.wire.pause_reading()
        pair.peer.close()
        await until(lambda: pair.protocol.told[-1].startswith("lost"))

    with_pair(scenario)


def test_a_bug_ends_one_connection_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(pair: Pair, wires: Wires) -> None:
        other = Pair(wires)
        pair.protocol.fails = True
        pair.peer.send(b"x")
        other.peer.send(b"y")
        await until(lambda: pair.protocol.told[-1].startswith("lost") and other.protocol.data == b"y")
        assert not other.wire.is_closing()
        other.peer.close()
        await until(lambda: other.protocol.told[-1].startswith("lost"))

    with_pair(scenario)
    assert "a connection failed" in caplog.text


def test_busy_sockets_are_looked_at_at_intervals_and_idle_ones_when_they_are_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sockets, "MANY", 1)
    monkeypatch.setattr(sockets, "BUSY_PER_S", 20)
    monkeypatch.setattr(sockets, "LOOK_S_A_SOCKET", 0.005)

    async def scenario(pair: Pair, wires: Wires) -> None:
        loop, sent = asyncio.get_running_loop(), 0
        until_s = loop.time() + scaled(5.0)
        while wires._look is None:
            assert loop.time() < until_s, "it never looks at intervals"
            pair.peer.send(b"x")
            sent += 1
            await asyncio.sleep(0.002)
        pair.peer.send(b"y")
        await until(lambda: pair.protocol.data == b"x" * sent + b"y")
        pair.wire.write(b"answer")
        assert await pair.read(6) == b"answer"
        await until(lambda: wires._look is None)
        pair.peer.send(b"z")
        await until(lambda: pair.protocol.data.endswith(b"z"))

    with_pair(scenario)


def test_those_who_are_connected_are_served_before_those_who_ask_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "TURN_S", 0.0)
    order: list[str] = []

    class Named(Protocol):
        def __init__(self, name: str, *, begins: bool) -> None:
            super().__init__()
            self.name, self.begins = name, begins

        def data_received(self, data: bytes) -> None:
            order.append(self.name)

    async def live() -> None:
        wires, peers = Wires(), []
        for name in ("new 1", "new 2", "open 1", "open 2"):
            ours, peer = socket.socketpair()
            ours.setblocking(False)
            Wire(wires, ours, cast("Connection", Named(name, begins=name.startswith("new"))))
            peer.send(b"x")
            peers.append(peer)
        wires._ready()
        assert sorted(order[:2]) == ["open 1", "open 2"]
        assert len(order) == 3, "of those that are new, one a turn if a turn has no time"
        await until(lambda: len(order) == 4)
        wires.close()
        for peer in peers:
            peer.close()

    uvloop.run(live())


def test_looks_at_intervals_begin_with_many_turns_and_end_when_most_find_nothing() -> None:
    pace, now_s = Pace(), 10.0
    assert not pace.is_busy(now_s), "nothing is known of the time before"
    began = False
    for _ in range(100):
        now_s += 0.5 / BUSY_PER_S
        began = began or pace.is_busy(now_s)
    assert began
    assert all(pace.pays(2) for _ in range(1000))
    assert [pace.pays(0) for _ in range(1000)][-1] is False
    slow = Pace()
    assert not any(slow.is_busy(number * 2 / BUSY_PER_S) for number in range(1, 1000))


def test_a_failure_to_accept_ends_no_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(pair: Pair, wires: Wires) -> None:
        accepted: list[int] = []

        def accept() -> None:
            client, _ = listening.accept()
            client.close()
            accepted.append(1)
            raise ValueError("a bug")

        with socket.create_server(("127.0.0.1", 0)) as listening:
            wires.open_door(listening.fileno(), accept)
            for count in (1, 2):
                socket.create_connection(listening.getsockname()).close()
                await until(lambda wanted=count: len(accepted) == wanted)
            wires.close_door()
            socket.create_connection(listening.getsockname()).close()
            pair.peer.send(b"x")
            await until(lambda: pair.protocol.data == b"x")
            pair.wire.write(b"answer")
            assert await pair.read(6) == b"answer"
            assert len(accepted) == 2

    with_pair(scenario)
    assert "not accepted" in caplog.text
