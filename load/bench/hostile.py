"""Crowds for `petrel bench hostile`: `python -m load.bench.hostile NAME`.

They read a plan as load/bench/crowd.py does. Time is cut into periods, calm and flood in turn, calm first. Both crowds
begin at the same line from the bench, so their periods agree.

    honest   pairs at one gateway that write all the time; latencies are kept by period
    flood    one authenticated device at the same gateway, which floods it in every second period

The flood sends as fast as the gateway reads, and reads whatever comes: a device that does not read is dropped. It runs
at the lowest priority, because its own work would disturb the pairs on a small machine where a real one's would not.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from load.bench.crowd import CONNECT_S, Crowd, Measured, Plan, go, main, two_by_two
from load.bench.phone import Phone
from sut.protocol import frames as f
from sut.protocol.signals import Typing, Watch

EDGE_S: Final = 0.3
"""Messages due in this first part of a period are not counted: what the last one left is worked off."""
CHUNK: Final = 64 << 10
READ: Final = 1 << 18
BACKLOG: Final = 100
"""Messages in the conversation of the flood before it."""
PAUSE_S: Final = 0.01
CONNECTS_PER_S: Final = 50.0
"""Attempts of one device: each is a new TCP connection, an upgrade, and a reset."""


class Honest(Crowd):
    """Pairs at the first gateway."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.urls = self.urls[:1]
        self.begun_ns = 0
        self.calm: list[int] = []
        """Latencies in ns of messages that were due in calm periods."""
        self.flooded: list[int] = []

    def _show(self, phone: Phone, message: f.Message) -> None:
        due_ns = int.from_bytes(message.body[:8], "big")
        if not self.measuring or message.flags or message.device == phone.device or not due_ns:
            return
        now_ns = time.monotonic_ns()
        self.shown.add_ns(now_ns - due_ns)
        period, into_s = divmod((due_ns - self.begun_ns) / 1e9, self.plan.period_s)
        if into_s >= EDGE_S:
            (self.flooded if period % 2 else self.calm).append(now_ns - due_ns)


async def honest(plan: Plan) -> Measured:
    """Run the crowd `honest`: each pair writes in one direction, at its share of the rate."""
    crowd = Honest(plan)
    convs = crowd.direct(two_by_two(crowd.users), "honest")
    await crowd.connect()
    beating = asyncio.create_task(crowd.beat())
    await asyncio.gather(*(crowd.send(one, conv, 1, 0) for (one, _), conv in convs.items()))
    await go()
    crowd.begun_ns = time.monotonic_ns()
    crowd.forget()
    rate = plan.rate_per_s / len(convs)
    talks = [
        crowd.talk(one, conv, rate, offset=number / len(convs), first=2)
        for number, ((one, _), conv) in enumerate(convs.items())
    ]
    sent = sum(await asyncio.gather(*talks))
    await crowd.settle(sent)
    beating.cancel()
    measured = crowd.measured(messages=sent, missing=sent - crowd.shown.count)
    measured.calm_ns, measured.flood_ns = sorted(crowd.calm), sorted(crowd.flooded)
    return measured


async def flood(plan: Plan) -> Measured:
    """Run the crowd `flood`: `plan.flood` in every second period. Returns what it sent."""
    crowd = Crowd(plan)
    one, other = crowd.users[:2]
    conv = crowd.api.create(crowd.tokens[one], kind="direct", members=[one, other], key="flood")
    await crowd.connect_one(one)  # pages that are worth a flood
    for number in range(1, BACKLOG + 1):
        await crowd.send(one, conv, number, 0)
    crowd.phones[one].close()
    flooder = Flooder(plan, url=crowd.urls[0], token=crowd.tokens[one], conv=conv)
    flooder.connect()
    await go()
    os.nice(19)
    flooder.run(time.monotonic())
    return Measured(messages=flooder.rounds, sent_bytes=flooder.sent, attempts=flooder.connects)


class Flooder:
    """One hostile device. Blocking: it has nothing else to do."""

    def __init__(self, plan: Plan, *, url: str, token: str, conv: int) -> None:
        self._plan = plan
        self._url = urlsplit(url)
        self._token = token
        self._chunks = FLOODS[plan.flood](conv)
        self._sock: socket.socket | None = None
        self.rounds = self.sent = self.connects = 0

    def connect(self) -> None:
        """Connect and be accepted. Raises OSError."""
        where = self._url.hostname or "", self._url.port or 80
        self._sock = socket.create_connection(where, CONNECT_S)
        self.connects += 1
        self._sock.sendall(
            f"GET {self._url.path} HTTP/1.1\r\nHost: {self._url.netloc}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Authorization: Bearer {self._token}\r\n\r\n".encode()
        )
        if b" 101 " not in self._sock.recv(READ):
            raise OSError("refused")

    def run(self, begun_s: float) -> None:
        """Flood in every second period until the plan's end."""
        end_s = begun_s + self._plan.duration_s
        while (now_s := time.monotonic()) < end_s:
            period, into_s = divmod(now_s - begun_s, self._plan.period_s)
            until_s = now_s + self._plan.period_s - into_s
            if period % 2:
                with contextlib.suppress(OSError):
                    (self._reconnect if self._plan.flood == "connects" else self._press)(min(end_s, until_s))
            else:
                self._listen(until_s)

    def _press(self, until_s: float) -> None:
        """Write as much as is read, and read all that comes. A connection that was ended is made again."""
        if self._sock is None:
            self.connect()
        sock = self._sock
        assert sock is not None
        sock.setblocking(False)
        waiting = memoryview(b"")
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while time.monotonic() < until_s:
                for _key, events in selector.select(PAUSE_S):
                    if events & selectors.EVENT_READ and not self._drain(sock):
                        return
                    if events & selectors.EVENT_WRITE:
                        if not waiting:
                            waiting = memoryview(next(self._chunks))
                            self.rounds += 1
                        with contextlib.suppress(BlockingIOError):
                            written = sock.send(waiting)
                            self.sent += written
                            waiting = waiting[written:]
                time.sleep(0.001)  # more would only spin: the kernel has buffers
        if waiting:  # a frame was cut: its rest must follow
            sock.settimeout(CONNECT_S)
            sock.sendall(waiting)

    def _drain(self, sock: socket.socket) -> bool:
        with contextlib.suppress(BlockingIOError):
            if not sock.recv(READ):
                sock.close()
                self._sock = None
                return False
        return True

    def _listen(self, until_s: float) -> None:
        """Read what comes, and send nothing."""
        while (left_s := until_s - time.monotonic()) > 0:
            if self._sock is None:
                time.sleep(left_s)
                return
            self._sock.settimeout(left_s)
            with contextlib.suppress(OSError):
                if not self._sock.recv(READ):
                    self._sock = None

    def _reconnect(self, until_s: float) -> None:
        """Connect and reset, again and again."""
        while time.monotonic() < until_s:
            if self._sock is not None:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                self._sock.close()
                self._sock = None
            self.connect()
            time.sleep(1 / CONNECTS_PER_S)


def _masked(first: int, payload: bytes) -> bytes:
    """A device's WebSocket frame."""
    size = len(payload)
    head = bytes((first, 0x80 | size)) if size < 126 else bytes((first, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


def _frames(make: Callable[[int], f.ClientFrame | Watch | Typing]) -> Iterator[bytes]:
    """Chunks of frames, each made from its number; a thousand are made once, and sent again and again."""
    made = [_masked(0x82, f.encode(make(number))) for number in range(1, 1001)]
    yield from itertools.cycle(_chunked(made))


def _chunked(frames: list[bytes]) -> list[bytes]:
    chunks: list[bytes] = [b""]
    for frame in frames:
        if len(chunks[-1]) + len(frame) > CHUNK and chunks[-1]:
            chunks.append(b"")
        chunks[-1] += frame
    return chunks


def _sends(conv: int, size: int) -> Iterator[bytes]:
    """SENDs with numbers that rise for ever: a repeated one would cost less."""
    for first in itertools.count(BACKLOG + 1, 32):
        yield b"".join(_masked(0x82, f.encode(f.Send(conv, first + n, bytes(size)))) for n in range(32))


def _watches(_conv: int) -> Iterator[bytes]:
    rng = random.Random(1)
    return _frames(lambda _number: Watch(tuple(rng.sample(range(1, 100_000), 500))))


def _fragments(_conv: int) -> Iterator[bytes]:
    yield _masked(0x02, b"")
    yield from itertools.repeat(_masked(0x00, b"") * (CHUNK // 6))


FLOODS: Final[dict[str, Callable[[int], Iterator[bytes]]]] = {
    "watches": _watches,
    "fragments": _fragments,
    "heartbeats": lambda _conv: _frames(lambda _number: f.Heartbeat()),
    "pings": lambda _conv: itertools.repeat(_masked(0x89, b"") * (CHUNK // 6)),
    "syncs": lambda _conv: _frames(lambda number: f.Sync(number, 0, ())),
    "fetches": lambda conv: _frames(lambda number: f.Fetch(number, conv, 0, 100)),
    "histories": lambda conv: _frames(lambda number: f.History(number, conv, 1 << 40, 100)),
    "receipts": lambda conv: _frames(lambda number: f.Recv(conv, number)),
    "typing": lambda conv: _frames(lambda number: Typing(conv, number % 2)),
    "sends": lambda conv: _sends(conv, 150),
    "big": lambda conv: _sends(conv, f.MAX_BODY),
    "connects": lambda _conv: iter(()),
}
"""The kinds of floods, by name. Each yields bytes without end, from the id of a conversation of its own."""


if __name__ == "__main__":
    main({"honest": honest, "flood": flood})
