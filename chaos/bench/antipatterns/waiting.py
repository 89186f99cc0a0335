"""How a device hears of a message: it polls each second, it holds a stream of events (SSE), or it has a WebSocket.

One server process serves all three. Clients get messages at a fixed rate and confirm each, as a chat client does. The
confirmation is a request of its own for the first two. The figure is the server's CPU for a delivered message.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import defaultdict
from typing import Final

from aiohttp import ClientSession, TCPConnector, web

from chaos.bench.antipatterns.pattern import Child, Figure, Pattern, Place, Result, child, percentile

CLIENTS: Final = 100
RATE_PER_S: Final = 20.0
DURATION_S: Final = 8.0
POLL_S: Final = 1.0
SETTLE_S: Final = 1.5
WAYS: Final = ("polling", "events", "websocket")
WRONG: Final = "polling each second, or events with a request for each answer"
RIGHT: Final = "one WebSocket"


class _Server:
    """Messages of each client; whoever holds a connection is told at once."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, list[str]] = defaultdict(list)
        self._streams: dict[str, web.StreamResponse] = {}
        self._sockets: dict[str, web.WebSocketResponse] = {}

    async def poll(self, request: web.Request) -> web.Response:
        found, self._waiting[request.match_info["who"]] = self._waiting[request.match_info["who"]], []
        return web.json_response(found)

    async def confirm(self, request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=204)

    async def events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self._streams[request.match_info["who"]] = response
        await asyncio.Event().wait()
        return response

    async def websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets[request.match_info["who"]] = socket
        async for _ in socket:
            pass
        return socket

    async def tell(self, way: str, number: int) -> None:
        """Send one message to one client, which learns when it was due."""
        who, text = str(number % CLIENTS), str(time.monotonic())
        if way == "polling":
            self._waiting[who].append(text)
        elif way == "events" and who in self._streams:
            await self._streams[who].write(f"data: {text}\n\n".encode())
        elif who in self._sockets:
            await self._sockets[who].send_str(text)

    async def produce(self, way: str) -> None:
        """Make messages at the rate for the time."""
        start_s = time.monotonic()
        for number in range(round(RATE_PER_S * DURATION_S)):
            await asyncio.sleep(max(0.0, start_s + number / RATE_PER_S - time.monotonic()))
            await self.tell(way, number)


async def serve() -> None:
    """Serve until standard input ends; each line read is a way to produce messages by."""
    server, app = _Server(), web.Application()
    app.add_routes(
        [
            web.get("/polling/{who}", server.poll), web.post("/confirm", server.confirm),
            web.get("/events/{who}", server.events), web.get("/websocket/{who}", server.websocket),
        ]
    )  # fmt: skip
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode().strip():
        await server.produce(line)


async def _clients(way: str, server: Child, base: str) -> list[float]:
    """Return the seconds from when a message was made until a client had it, for each delivery."""
    late_s: list[float] = []
    async with ClientSession(connector=TCPConnector(limit=0)) as session:

        async def confirm(text: str) -> None:
            late_s.append(time.monotonic() - float(text))
            async with session.post(f"{base}/confirm", data=text):
                pass

        async def poll(who: int) -> None:
            await asyncio.sleep(POLL_S * who / CLIENTS)
            while True:
                async with session.get(f"{base}/polling/{who}") as answer:
                    for text in await answer.json():
                        await confirm(text)
                await asyncio.sleep(POLL_S)

        async def listen(who: int) -> None:
            async with session.get(f"{base}/events/{who}", timeout=None) as answer:
                async for line in answer.content:
                    if line.startswith(b"data: "):
                        await confirm(line[6:].decode())

        async def talk(who: int) -> None:
            async with session.ws_connect(f"{base}/websocket/{who}") as socket:
                async for message in socket:
                    late_s.append(time.monotonic() - float(message.data))
                    await socket.send_str(message.data)

        act = {"polling": poll, "events": listen, "websocket": talk}[way]
        tasks = [asyncio.create_task(act(who)) for who in range(CLIENTS)]
        await asyncio.sleep(SETTLE_S)
        server.say(way)
        await asyncio.sleep(DURATION_S + SETTLE_S)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
    return late_s


def measure(place: Place) -> Result:
    """Measure the three ways, one after the other, each with a server of its own."""
    cpu_ms: dict[str, float] = {}
    p50_ms: dict[str, float] = {}
    for way in WAYS:
        place.say(f"{way}: {CLIENTS} clients, {RATE_PER_S:g} messages/s")
        with child(__name__, "serve") as server:
            before_s = server.cpu_s()
            late_s = asyncio.run(_clients(way, server, f"http://127.0.0.1:{server.line}"))
            cpu_ms[way] = 1000 * (server.cpu_s() - before_s) / max(1, len(late_s))
            p50_ms[way] = 1000 * percentile(late_s, 0.5)
    return Result(
        name=PATTERN.name, wrong=WRONG, right=RIGHT,
        figures=(
            Figure(name="polling: server CPU a message, ms", wrong=cpu_ms["polling"], right=cpu_ms["websocket"]),
            Figure(name="events: server CPU a message, ms", wrong=cpu_ms["events"], right=cpu_ms["websocket"]),
            Figure(name="polling: p50, ms", wrong=p50_ms["polling"], right=p50_ms["websocket"]),
            Figure(name="events: p50, ms", wrong=p50_ms["events"], right=p50_ms["websocket"]),
        ),
        where_wrong_wins="events reach a client as fast, and pass every proxy; they suit devices that only listen",
    )  # fmt: skip


PATTERN: Final = Pattern(name="polling", wrong=WRONG, right=RIGHT, measure=measure)

if __name__ == "__main__":
    asyncio.run(serve())
