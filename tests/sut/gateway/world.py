"""What surrounds a gateway in these tests: a registry in memory, a chat service and a sequencer over real links.

The gateway under test is the whole of it, run as its process runs it, on real sockets and on uvloop.
"""

import asyncio
import contextlib
import math
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sut.deploy.topology import Service, Settings, Tls, Topology, save
from sut.gateway import process
from sut.gateway.gateway import Gateway
from sut.gateway.pieces import GatewayPieces
from sut.gateway.registrar import Pace
from sut.ports import Presence, Registry, Revocation, RevocationPage, Route, Unavailable
from sut.process.peer import PeerConnection, PeerLink, PeerServer, ping
from sut.process.revoked import Revoked
from sut.process.trace import OFF, Trace, open_trace
from sut.protocol.frames import Close, ServerFrame, Welcome, decode_server, encode
from sut.protocol.peer import Announce, Deliver, PeerFrame
from sut.protocol.tokens import issue
from tests.kit.pace import scaled
from tests.kit.waits import until

KEY = bytes(range(32))
HOST = "127.0.0.1"


def _same(registry: Registry) -> Registry:
    return registry


PACE = Pace(recovery_gap_s=0.001, retry_s=(0.01, 0.05), refresh_s=0.5)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in socks:
            sock.bind((HOST, 0))
        return [sock.getsockname()[1] for sock in socks]


class MemoryRegistry:
    """The Registry port in a dictionary. `away`: nothing is answered. `lose()`: a failover that lost the entries."""

    def __init__(self) -> None:
        self.leases: dict[str, tuple[int, str, float]] = {}
        self.entries: dict[tuple[int, int], Route] = {}
        self.calls: Counter[str] = Counter()
        self.generation = 1
        self.away = False
        self.uncertain_since_s = math.inf
        self.answer_s = 0.0
        self.elsewhere: list[int] = []
        """What the next `replaced` answers."""

    def lose(self) -> None:
        """Forget all routes."""
        self.entries.clear()

    @property
    def certain_s(self) -> float:
        """Others see what is written here, or did until `uncertain_since_s`."""
        return min(time.monotonic(), self.uncertain_since_s)

    async def _asked(self, name: str) -> None:
        self.calls[name] += 1
        await asyncio.sleep(self.answer_s)
        if self.away:
            raise Unavailable("registry is away")

    async def lease(self, node: str, incarnation: int, ttl_s: float, address: str) -> None:
        await self._asked("lease")
        self.leases[node] = (incarnation, address, time.monotonic() + ttl_s)

    async def release(self, node: str, incarnation: int) -> None:
        await self._asked("release")
        if self.leases.get(node, (0, "", 0.0))[0] == incarnation:
            del self.leases[node]

    async def gateways(self) -> dict[str, tuple[int, str]]:
        now = time.monotonic()
        return {node: (inc, address) for node, (inc, address, until) in self.leases.items() if until > now}

    async def register(self, routes: Sequence[tuple[int, Route]]) -> list[Route | None]:
        await self._asked("register")
        before: list[Route | None] = []
        for user, route in routes:
            found = self.entries.get((user, route.device))
            before.append(found)
            if found is None or found.epoch <= route.epoch:
                self.entries[user, route.device] = route
        return before

    async def replaced(self, node: str, incarnation: int) -> list[int]:
        await self._asked("replaced")
        told, self.elsewhere = self.elsewhere, []
        return told

    async def unregister(self, routes: Sequence[tuple[int, Route]]) -> None:
        await self._asked("unregister")
        for user, route in routes:
            if self.entries.get((user, route.device)) == route:
                del self.entries[user, route.device]

    async def routes(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        return {user: tuple(r for (owner, _), r in self.entries.items() if owner == user) for user in users}

    async def lapsed(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        return {}

    async def close(self) -> None:
        pass


class MemoryRevocations:
    """The Revocations port in a list. `away`: nothing is answered. `lose()`: a failover that lost it."""

    def __init__(self) -> None:
        self.entries: list[Revocation] = []
        self.generation = 1
        self.away = False

    def lose(self) -> None:
        """Forget all."""
        self.entries.clear()
        self.generation += 1

    async def revoke(self, revocations: Sequence[Revocation], *, now_s: int, always: bool = False) -> None:
        if self.away:
            raise Unavailable("the list is away")
        self.entries += revocations

    async def since(self, position: int) -> RevocationPage:
        if self.away:
            raise Unavailable("the list is away")
        position = 0 if position > len(self.entries) else position
        return RevocationPage(len(self.entries), False, tuple(self.entries[position:]))


def topology(directory: Path, *, host: str = HOST, tls: Tls | None = None, **settings: float) -> Topology:
    """One gateway, one chat service, one sequencer; also written to the directory."""
    ws, peer, chat, sequencer = free_ports(4)
    topology = Topology(
        run_id="test",
        profile="test",
        dir=str(directory),
        token_key=KEY.hex(),
        api_key="key",
        tls=tls,
        settings=msgspec.convert({"drain_base_s": 0.1, "user_connections": 1000} | settings, Settings),
        services=(
            Service(name="gateway-1", kind="gateway", host=host, ports={"ws": ws, "peer": peer}),
            Service(name="chat-1", kind="chat", ports={"peer": chat}),
            Service(name="sequencer-1", kind="sequencer", ports={"peer": sequencer}),
        ),
    )
    save(topology)
    return topology


class Device:
    """A device on the `websockets` library."""

    def __init__(self, socket: ClientConnection) -> None:
        self.ws = socket

    async def send(self, frame: object) -> None:
        """One frame of the protocol."""
        await self.ws.send(encode(frame))  # type: ignore[arg-type]

    async def receive(self, timeout_s: float | None = None) -> ServerFrame:
        """The next frame. TimeoutError when none comes within `timeout_s`; None: 3 s at this machine's pace."""
        async with asyncio.timeout(scaled(3.0) if timeout_s is None else timeout_s):
            data = await self.ws.recv()
        assert isinstance(data, bytes)
        return decode_server(data)

    async def ask(self, frame: object) -> ServerFrame:
        """Send a frame and take the next one that comes."""
        await self.send(frame)
        return await self.receive()

    async def closed(self, timeout_s: float | None = None) -> tuple[int, list[ServerFrame]]:
        """The close code, and what came before it."""
        frames = []
        async with asyncio.timeout(scaled(5.0) if timeout_s is None else timeout_s):
            while True:
                try:
                    frames.append(decode_server(await self.ws.recv()))  # type: ignore[arg-type]
                except ConnectionClosed as error:
                    return (error.rcvd.code if error.rcvd else 1006), frames


class World:
    """A running gateway and its surroundings."""

    def __init__(self, topology: Topology, registry: MemoryRegistry, incarnation: int = 77, trace: Trace = OFF) -> None:
        self.topology = topology
        self.trace = trace
        self.registry = registry
        self.presence: Presence | None = None
        self.incarnation = incarnation
        self.revocations = MemoryRevocations()
        self.stop = asyncio.Event()
        self.gateway: asyncio.Task[None] | None = None
        self.forwarded: list[PeerFrame] = []
        self.heard: list[PeerFrame] = []
        """What the gateway sent to the sequencer."""
        self.answer: Callable[[PeerFrame], PeerFrame | None] = lambda _frame: None
        self.chat = self.new_chat()
        self.sequencer = self.new_sequencer()

    def address(self, name: str, port: str = "peer") -> tuple[str, int]:
        """Where a service listens."""
        service = self.topology.service(name)
        return "::1" if service.host == "::" else service.host, service.ports[port]

    @property
    def url(self) -> str:
        """What devices dial."""
        return self.topology.gateway_url(self.topology.service("gateway-1"), "/v1/ws")

    def new_chat(self) -> PeerServer:
        """A chat service that notes what it gets and answers by `answer`."""

        def on_frame(connection: PeerConnection, _correlation: int, frame: PeerFrame) -> None:
            self.forwarded.append(frame)
            answer = self.answer(frame)
            if answer is not None:
                connection.send(answer)

        return PeerServer(node="chat-1", incarnation=5, on_frame=on_frame)

    def new_sequencer(self) -> PeerLink:
        """A sequencer's link to the gateway."""
        return PeerLink(
            node="sequencer-1",
            incarnation=9,
            target="gateway-1",
            address=self.address("gateway-1"),
            on_frame=self.heard.append,
        )

    def announced(self) -> list[Announce]:
        """The announcements to the sequencer that began with all routes, or that hold routes."""
        return [frame for frame in self.heard if isinstance(frame, Announce) and (frame.since_ms or frame.there)]

    def start_gateway(
        self,
        pace: Pace,
        registry: Callable[[Registry], Registry] = _same,
        pieces: GatewayPieces = GatewayPieces(),  # noqa: B008 (frozen)
    ) -> None:
        """Run the gateway; `registry` wraps its registry."""
        gateway = Gateway(
            self.topology,
            self.topology.service("gateway-1"),
            incarnation=self.incarnation,
            registry=registry(self.registry),
            max_sockets=process.max_sockets(),
            presence=self.presence,
            revoked=Revoked(self.revocations, keep_s=3600),
            pieces=replace(pieces, pace=pieces.pace or pace),
            trace=self.trace,
        )
        self.inside = gateway
        self.gateway = asyncio.create_task(process.run(gateway, self.stop))

    async def stats(self) -> dict[str, float]:
        """What the gateway says of itself."""
        return (await asyncio.to_thread(ping, *self.address("gateway-1"), 2.0)).stats

    async def flood(self, device: int) -> None:
        """Deliver to a device that does not read until it is dropped as SLOW; the gateway's memory hardly grows."""
        before = await self.stats()
        item = Deliver((self.number_of(device),), bytes(17_000))
        for _ in range(100):  # 85 MB at most
            for _ in range(50):
                self.sequencer.send(item)
            after = await self.stats()
            if after["connections"] == 0:
                break
        assert after[f"closed_{int(Close.SLOW)}"] == 1
        assert after["rss_bytes"] - before["rss_bytes"] < 20 << 20

    async def wait_until_stat(self, name: str, condition: Callable[[float], bool], timeout_s: float = 5.0) -> None:
        """Until a gauge is as wanted."""
        async with asyncio.timeout(scaled(timeout_s)):
            while not condition((await self.stats()).get(name, 0.0)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def token(self, user: int = 1, device: int = 11, *, ttl_s: float = 60, now_s: float | None = None) -> str:
        """A token of the topology's key."""
        return issue(KEY, user, device, ttl_s, time.time() if now_s is None else now_s)

    def connect(self, user: int = 1, device: int = 11, **options: object) -> connect:
        """A websockets connection of a device, to be awaited or entered."""
        headers = {"Authorization": f"Bearer {self.token(user, device)}"}
        return connect(self.url, additional_headers=headers, ping_interval=None, **options)  # type: ignore[arg-type]

    @contextlib.asynccontextmanager
    async def device(self, user: int = 1, device: int = 11) -> AsyncIterator[Device]:
        """A device that has been welcomed."""
        async with self.connect(user, device, close_timeout=1) as ws:
            one = Device(ws)
            assert isinstance(await one.receive(), Welcome)
            yield one

    async def raw(self, user: int = 1, device: int = 11) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare socket behind a finished upgrade; WELCOME is still to be read."""
        reader, writer = await asyncio.open_connection(*self.address("gateway-1", "ws"))
        writer.write(upgrade(self.token(user, device)))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        return reader, writer

    def number_of(self, device: int, user: int = 1) -> int:
        """A device's connection number, as the registry has it."""
        return self.registry.entries[user, device].conn

    def deliver(self, devices: Sequence[int], frame: ServerFrame, *, close: int = 0) -> None:
        """Have the sequencer deliver to devices of user 1."""
        conns = tuple(self.number_of(device) for device in devices)
        assert self.sequencer.send(Deliver(conns, encode(frame), close))


def upgrade(token: str) -> bytes:
    """A whole upgrade request."""
    return (
        "GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()


def in_world(
    scenario: Callable[[World], Coroutine[None, None, None]],
    directory: Path,
    *,
    pace: Pace = PACE,
    registry: Callable[[Registry], Registry] = _same,
    pieces: GatewayPieces = GatewayPieces(),  # noqa: B008 (frozen)
    traced: bool = False,
    presence: Presence | None = None,
    host: str = HOST,
    tls: Tls | None = None,
    revoked: Sequence[Revocation] = (),
    **settings: float,
) -> MemoryRegistry:
    """Run a scenario in a world that is up; everything is ended after it, and the gateway's own failure shows."""

    async def live() -> MemoryRegistry:
        made = topology(directory, host=host, tls=tls, **settings)
        world = World(made, MemoryRegistry(), trace=open_trace(made, "gateway-1") if traced else OFF)
        world.presence = presence
        world.revocations.entries += revoked
        await world.chat.start(*world.address("chat-1"))
        world.start_gateway(pace, registry, pieces)
        await asyncio.sleep(0.01)  # it listens by now; otherwise the links' own retries just take longer
        world.sequencer.start()
        try:
            await until(lambda: world.sequencer.up or (world.gateway and world.gateway.done()))
            await world.wait_until_stat("whole", bool)
            await world.wait_until_stat("chats_up", bool)
            await scenario(world)
        finally:
            world.stop.set()
            if world.gateway is not None:
                await world.gateway
            await world.sequencer.close()
            await world.chat.close()
            await world.trace.close()
        return world.registry

    return uvloop.run(live())
