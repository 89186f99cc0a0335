"""Centrifugo v6 with its Redis engine: channels with history and recovery, over its JSON protocol on a WebSocket.

Clients subscribe by WebSocket. Messages are published over the HTTP API, as an application's backend does, because its
answer holds the offset. A client that comes back subscribes with the offset and the epoch that it has. Where Centrifugo
says that it could not recover all, the client reads the history, as the documentation asks of an application.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar, Final

import aiohttp
import jwt

from chaos.targets.target import HOST, Answers, Inbox, Message, NotHere, Place, Refused, Target, end_tasks, hang_up

API_KEY: Final = "petrel"
SECRET: Final = "petrel-petrel-petrel-petrel-petrel"  # noqa: S105 (of a server of this run on the loopback)
PAGE: Final = 200
HEARTBEAT_S: Final = 4.0
"""Silence after which a client gives its connection up. Centrifugo pings each 2 s here."""


class Centrifugo(Target):
    """One client of Centrifugo."""

    numbered = True
    helpers = ("redis",)
    _ids: ClassVar = itertools.count(1)

    def __init__(self, place: Place, user: str, rooms: Sequence[str]) -> None:
        super().__init__(place, user, rooms)
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._inbox = Inbox()
        self._answers = Answers[int, dict[str, Any]]()
        self._at: dict[str, tuple[int, str]] = {}
        """The offset that was shown last, and the epoch, of each room."""
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    def command(cls, place: Place) -> Sequence[str]:
        """Write the configuration and return the command line."""
        program = shutil.which("centrifugo")
        if program is None:
            raise NotHere(
                "no centrifugo on PATH: go install github.com/centrifugal/centrifugo/v6@v6.9.1, and add its bin to PATH"
            )
        room = {
            "name": "room", "history_size": 100_000, "history_ttl": "1h", "force_recovery": True,
            "allow_subscribe_for_client": True, "allow_history_for_subscriber": True,
        }  # fmt: skip
        config = {
            "http_server": {"address": HOST, "port": str(place.listen)},
            "http_api": {"key": API_KEY},
            "client": {
                "token": {"hmac_secret_key": SECRET}, "allowed_origins": ["*"], "ping_interval": "2s",
                "pong_timeout": "1s", "history_max_publication_limit": PAGE, "recovery_max_publication_limit": PAGE,
            },
            "engine": {"type": "redis", "redis": {"address": f"redis://{HOST}:{place.helpers['redis']}"}},
            "channel": {"namespaces": [room]},
        }  # fmt: skip
        path = place.directory / "config.json"
        path.write_text(json.dumps(config, indent=1))
        return (program, "--config", str(path))

    async def connect(self) -> None:
        """Connect and subscribe to all rooms, from where this client is."""
        await self.close()
        self._inbox = Inbox()
        self._http = aiohttp.ClientSession()
        base = f"{HOST}:{self.place.port}"
        self._socket = await self._http.ws_connect(f"ws://{base}/connection/websocket")
        self._reader = asyncio.create_task(self._read(self._socket, self._inbox))
        token = jwt.encode({"sub": self.user}, SECRET, algorithm="HS256")
        await self._ask("connect", {"token": token})
        for room in self.rooms:
            await self._subscribe(room)

    async def _subscribe(self, room: str) -> None:
        request: dict[str, Any] = {"channel": f"room:{room}"}
        if room in self._at:
            offset, epoch = self._at[room]
            request |= {"recover": True, "offset": offset, "epoch": epoch}
        answer = await self._ask("subscribe", request)
        if room not in self._at:
            self._at[room] = answer.get("offset", 0), answer.get("epoch", "")
            return
        missed = answer.get("publications", [])
        if not answer.get("recovered"):
            missed = await self._pages(room, since=self._at[room] if answer.get("epoch") == self._at[room][1] else None)
        for publication in missed:
            self._show(self._inbox, room, publication)
        self._at[room] = max(self._at[room][0], answer.get("offset", 0)), answer.get("epoch", "")

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, inbox: Inbox) -> None:
        """Take what the server says until the connection ends, or is silent for too long."""
        try:
            while True:
                frame = await socket.receive(timeout=HEARTBEAT_S)
                if frame.type != aiohttp.WSMsgType.TEXT:
                    return
                for line in frame.data.splitlines():
                    await self._hear(socket, inbox, json.loads(line))
        except TimeoutError:
            return
        finally:
            inbox.end()
            self._answers.end()

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse, inbox: Inbox, said: dict[str, Any]) -> None:
        if not said:
            await socket.send_str("{}")  # its ping, our pong
        elif "push" in said and "pub" in said["push"]:
            self._show(inbox, said["push"]["channel"].removeprefix("room:"), said["push"]["pub"])
        elif "push" in said and {"unsubscribe", "disconnect"} & said["push"].keys():
            await socket.close()
        else:
            self._answers.settle(said.get("id", 0), said)

    def _show(self, inbox: Inbox, room: str, publication: dict[str, Any]) -> None:
        offset = publication.get("offset", 0)
        at, epoch = self._at.get(room, (0, ""))
        if offset > at:
            self._at[room] = offset, epoch
            inbox.put(Message(room, publication["data"]["text"], offset))

    async def _ask(self, method: str, request: dict[str, Any]) -> dict[str, Any]:
        assert self._socket is not None
        number = next(self._ids)
        waiting = self._answers.expect(number)
        await self._socket.send_json({"id": number, method: request})
        answer = await waiting
        if "error" in answer:
            raise ConnectionError(f"{method}: {answer['error']}")
        found: dict[str, Any] = answer.get(method, {})
        return found

    def events(self) -> AsyncIterator[Message]:
        """Yield what is shown: by rising offset, each once, as Centrifugo's own clients do."""
        return self._inbox.all()

    async def send(self, room: str, text: str) -> int:
        """Publish over the HTTP API and return the offset."""
        assert self._http is not None
        url = f"http://{HOST}:{self.place.port}/api/publish"
        body = {"channel": f"room:{room}", "data": {"text": text}}
        async with self._http.post(url, json=body, headers={"X-API-Key": API_KEY}) as response:
            response.raise_for_status()
            answer = await response.json()
        if "error" in answer:
            if answer["error"].get("code") == 100:  # internal: perhaps it was written, perhaps not
                raise ConnectionError(str(answer["error"]))
            raise Refused(str(answer["error"]))
        return int(answer["result"]["offset"])

    async def history(self, room: str) -> Sequence[Message]:
        """Return the whole history of a room, page by page."""
        return [Message(room, one["data"]["text"], one.get("offset", 0)) for one in await self._pages(room, since=None)]

    async def _pages(self, room: str, *, since: tuple[int, str] | None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            request: dict[str, Any] = {"channel": f"room:{room}", "limit": PAGE}
            if since is not None:
                request["since"] = {"offset": since[0], "epoch": since[1]}
            answer = await self._ask("history", request)
            page = answer.get("publications", [])
            found += page
            if len(page) < PAGE:
                return found
            since = page[-1]["offset"], answer["epoch"]

    async def close(self) -> None:
        """Stop reading and close the connection, within 2 s even if the server is silent."""
        await end_tasks(self._reader)
        await hang_up(self._http)
        self._reader = self._http = None
