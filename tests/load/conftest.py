"""A tiny real chat service for the swarm's tests: WebSockets and the HTTP API on loopback, all state in memory.

It speaks the documented frames and numbers messages; it has none of the real system's durability or processes. Tests
make it misbehave in ways that would be hard to time with the real one.
"""

import asyncio
import contextlib
import http.server
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from sut.protocol.frames import (
    SYNCED_STALE,
    Ack,
    Beat,
    Entry,
    Fetch,
    Flag,
    Heartbeat,
    Message,
    Nack,
    Notify,
    Page,
    Refused,
    Send,
    ServerFrame,
    Sync,
    Synced,
    Welcome,
    decode_client,
    encode,
)
from tests.load.locusts import Started


@dataclass
class Conversation:
    kind: str
    members: set[int]
    past: set[int] = field(default_factory=set)
    rows: list[Message] = field(default_factory=list)


class MiniChat:
    """The service, in two threads of its own."""

    def __init__(self) -> None:
        self.conversations: dict[int, Conversation] = {}
        self.keys: dict[str, int] = {}
        self.connections: dict[int, ServerConnection] = {}
        self.received: defaultdict[int, list[object]] = defaultdict(list)
        self.upgrades = 0
        self.discoveries = 0
        self.heartbeat_ms = 30_000
        self.token_version = 1
        """Tokens of an older version are refused with 401."""
        self.refuse_upgrades: HTTPStatus | None = None
        self.swallow: Callable[[int, object], bool] = lambda _device, _frame: False
        """Frames for which this is true get no answer."""
        self.stale_syncs = 0
        """So many SYNCs to come are answered as STALE, without a word of news."""
        self.old_heads: dict[int, int] = {}
        """Conversation -> the head that the next PAGE of it believes in."""
        self.phones: dict[int, tuple[int, str, str]] = {}
        self.create_s = 0.0
        """Seconds until a conversation is created."""
        self.http_failures: list[HTTPStatus] = []
        """Each is the answer to one API call, which takes effect nevertheless."""
        self._seen: dict[tuple[int, int, int], int] = {}
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._port = 0
        self._threads = [threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)]
        chat = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(size) or b"null")
                status, answer = chat._api(self.command, self.path, self.headers["Authorization"], body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = _handle  # noqa: N815 (http.server's names)

            def log_message(self, *_: object) -> None:
                pass

        class ApiServer(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._http = ApiServer(("127.0.0.1", 0), Handler)
        self.api_url = f"http://127.0.0.1:{self._http.server_port}"
        self._threads.append(threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        assert self._started.wait(5)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._http.shutdown()
        self._http.server_close()
        for thread in self._threads:
            thread.join(5)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/v1/ws"

    def cut_all(self) -> None:
        """Every connection ends without a close frame."""
        self._loop.call_soon_threadsafe(lambda: [c.transport.abort() for c in self.connections.values()])

    def push(self, device: int, data: bytes | str) -> None:
        """Send something of the test's own to a device."""
        asyncio.run_coroutine_threadsafe(self.connections[device].send(data), self._loop).result(5)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server: Server
        async with serve(
            self._device,
            "127.0.0.1",
            0,
            process_request=self._check,
            compression=None,
            ping_interval=None,
            close_timeout=0.5,
        ) as server:
            self._port = server.sockets[0].getsockname()[1]
            self._started.set()
            await self._stop.wait()

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        self.upgrades += 1
        if self.refuse_upgrades is not None:
            return connection.respond(self.refuse_upgrades, "not now\n")
        _, _, token = request.headers.get("Authorization", "").partition(" ")
        version, _, device = token.partition(":")
        if version != str(self.token_version):
            return Response(401, "Unauthorized", Headers(), b"token expired\n")
        connection.device = int(device)
        return None

    async def _device(self, connection: ServerConnection) -> None:
        device = connection.device
        old, self.connections[device] = self.connections.get(device), connection
        if old is not None:
            old.transport.abort()
        await self._tell(device, Welcome(device, device, self.upgrades, self.heartbeat_ms, 16384))
        with contextlib.suppress(ConnectionClosed):
            async for data in connection:
                frame = decode_client(data)
                self.received[device].append(frame)
                if not self.swallow(device, frame):
                    await self._answer(device, frame)
        if self.connections.get(device) is connection:
            del self.connections[device]

    async def _tell(self, device: int, frame: ServerFrame) -> None:
        connection = self.connections.get(device)
        if connection is not None:
            with contextlib.suppress(ConnectionClosed):
                await connection.send(encode(frame))

    async def _answer(self, device: int, frame: object) -> None:
        match frame:
            case Heartbeat():
                await self._tell(device, Beat(0))
            case Send(conv, client_seq, body):
                await self._send(device, conv, client_seq, body)
            case Sync(req) if self.stale_syncs:
                self.stale_syncs -= 1
                await self._tell(device, Synced(req, SYNCED_STALE, ()))
            case Sync(req, after_conv, cursors):
                seen = dict(cursors)
                mine = sorted(
                    (conv, self._head(conv, device))
                    for conv, c in self.conversations.items()
                    if device in c.members | c.past and conv > after_conv
                )
                entries = tuple(Entry(conv, head, 0) for conv, head in mine if head > seen.get(conv, 0))
                more = len(entries) > 3  # tiny pages, so that paging is exercised
                await self._tell(device, Synced(req, int(more), entries[:3]))
            case Fetch(req, conv, after, limit):
                c = self.conversations.get(conv)
                if c is None or device not in c.members | c.past:
                    await self.connections[device].close(4403)
                    return
                head = min(self._head(conv, device), self.old_heads.pop(conv, 1 << 40))
                rows = tuple(row for row in c.rows if after < row.seq <= head)[: min(limit, 5)]
                through = rows[-1].seq if len(rows) == min(limit, 5) else head
                await self._tell(device, Page(req, conv, head, through, rows))

    def _head(self, conv: int, user: int) -> int:
        c = self.conversations[conv]
        if user in c.members:
            return len(c.rows)
        return max((row.seq for row in c.rows if row.flags == Flag.MEMBER_REMOVE and row.user == user), default=1) - 1

    async def _send(self, device: int, conv: int, client_seq: int, body: bytes) -> None:
        c = self.conversations[conv]
        if device not in c.members:
            await self._tell(device, Refused(conv, client_seq, Nack.NOT_MEMBER))
            return
        key = (device, conv, client_seq)
        if key in self._seen:
            await self._tell(device, Ack(conv, client_seq, self._seen[key]))
            return
        row = Message(conv, len(c.rows) + 1, 0, device, device, client_seq, body)
        c.rows.append(row)
        self._seen[key] = row.seq
        await self._tell(device, Ack(conv, client_seq, row.seq))
        for user in sorted(c.members - {device}):
            await self._tell(user, row if c.kind == "direct" else Notify((Entry(conv, row.seq, 0),)))

    def _api(self, method: str, path: str, authorization: str | None, body: dict) -> tuple[HTTPStatus, dict]:
        status, answer = self._api_effect(method, path, authorization or "", body)
        if self.http_failures:
            return self.http_failures.pop(0), {"error": "as the test asked"}
        return status, answer

    def _api_effect(self, method: str, path: str, authorization: str, body: dict) -> tuple[HTTPStatus, dict]:
        creator = int(authorization.rpartition(":")[2] or 0) if ":" in authorization else 0
        parts = path.split("/")[2:]
        match method, parts:
            case "GET", ["discovery"]:
                self.discoveries += 1
                return HTTPStatus.OK, {"gateways": [self.url]}
            case "POST", ["tokens"]:
                if authorization != "Bearer key":
                    return HTTPStatus.UNAUTHORIZED, {"error": "wrong API key"}
                return HTTPStatus.OK, {
                    "tokens": [
                        {"device_id": d["device"], "token": f"{self.token_version}:{d['device']}", "expires": 0}
                        for d in body["devices"]
                    ]
                }
            case "POST", ["devices"]:
                if authorization != "Bearer key":
                    return HTTPStatus.UNAUTHORIZED, {"error": "wrong API key"}
                self.phones |= {
                    int(d["device"]): (int(d["user"]), d["push"]["provider"], d["push"]["token"])
                    for d in body["devices"]
                }
                return HTTPStatus.OK, {"registered": len(body["devices"])}
            case "POST", ["conversations"]:
                time.sleep(self.create_s)
                return HTTPStatus.CREATED, {"conversation_id": str(self._create(creator, body))}
            case "POST", ["conversations", "bulk"]:
                if authorization != "Bearer key":
                    return HTTPStatus.UNAUTHORIZED, {"error": "wrong API key"}
                time.sleep(self.create_s)
                made = [self._create(int(one["creator"]), one) for one in body["conversations"]]
                return HTTPStatus.CREATED, {"conversations": [{"conversation_id": str(conv)} for conv in made]}
            case "POST", ["conversations", conv, "members"]:
                return self._change(int(conv), int(body["user"]), Flag.MEMBER_ADD)
            case "DELETE", ["conversations", conv, "members", user]:
                return self._change(int(conv), int(user), Flag.MEMBER_REMOVE)
        return HTTPStatus.NOT_FOUND, {"error": "no such thing"}

    def _create(self, creator: int, wanted: dict) -> int:
        conv = self.keys.setdefault(f"{creator}/{wanted['key']}", 1000 + len(self.keys))
        members = {creator, *map(int, wanted["members"])}
        self.conversations.setdefault(conv, Conversation(wanted["kind"], members))
        return conv

    def _change(self, conv: int, user: int, flag: Flag) -> tuple[HTTPStatus, dict]:
        c = self.conversations[conv]
        if (user in c.members) is (flag is Flag.MEMBER_ADD):  # already so: the number it took then
            done = [row.seq for row in c.rows if row.flags == flag and row.user == user]
            return HTTPStatus.OK, {"seq": done[-1] if done else 0}
        (c.members.add if flag is Flag.MEMBER_ADD else c.members.remove)(user)
        c.past.add(user)
        c.rows.append(Message(conv, len(c.rows) + 1, flag, user, 0, 0, b""))
        return HTTPStatus.OK, {"seq": len(c.rows)}


@pytest.fixture
def chat() -> Iterator[MiniChat]:
    """A running service."""
    service = MiniChat()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def locust(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Starts locust, and ends what is left of it."""
    all_started: list[Started] = []

    def start(*arguments: str, **environment: str) -> Started:
        all_started.append(Started(tmp_path, *arguments, **environment))
        return all_started[-1]

    yield start
    for started in all_started:
        if started.process.poll() is None:
            for child in started.workers():
                child.kill()
            started.process.kill()
            started.process.wait(5)
