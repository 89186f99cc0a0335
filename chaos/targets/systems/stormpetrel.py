"""Our own system as a stranger sees it: docs/protocol.md by hand, without any of our client code.

One conversation is a room. A device asks for what it lacks by FETCH, whenever it learns of a higher number: by NOTIFY,
by an ACK, or by SYNC after each connection. It repeats a SEND each 2 s until it has an answer.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import aiohttp

from chaos.targets.target import HOST, Answers, Inbox, Message, Place, Refused, Target, end_tasks, hang_up

AGAIN_S: Final = 2.0
SILENCE_S: Final = 5.0
LIMIT: Final = 200
STALE, RESYNC = 2, 1


class Stormpetrel(Target):
    """One device of our own system."""

    profile = "embedded"
    numbered = True
    _convs: ClassVar[dict[str, int]] = {}
    _names: ClassVar[dict[int, str]] = {}
    _client_seqs: ClassVar[dict[str, itertools.count[int]]] = {}

    def __init__(self, place: Place, user: str, rooms: Sequence[str]) -> None:
        super().__init__(place, user, rooms)
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._inbox = Inbox()
        self._cursors: dict[int, int] = {}
        self._heads: dict[int, int] = {}
        self._fetching: set[int] = set()
        self._answers = Answers[tuple[int, int], bytes]()
        self._requests = itertools.count(1)
        self._heard_s = 0.0
        self._heartbeat_s = 30.0

    @classmethod
    def command(cls, place: Place) -> Sequence[str]:
        """Return nothing: the whole profile is started."""
        return ()

    @classmethod
    async def prepare(cls, place: Place, members: Mapping[str, Sequence[str]]) -> None:
        """Make a group for each room, by the operator's key."""
        wanted = [
            {"kind": "group", "creator": _id(users[0]), "members": [_id(user) for user in users[1:]], "key": room}
            for room, users in members.items()
        ]
        async with aiohttp.ClientSession() as http:
            made = await _call(http, place, "conversations/bulk", _key(place), {"conversations": wanted})
        for room, one in zip(members, made["conversations"], strict=True):
            cls._convs[room] = int(one["conversation_id"])
            cls._names[int(one["conversation_id"])] = room

    async def connect(self) -> None:
        """Connect to a gateway, and ask for what is new."""
        await self.close()
        self._inbox = Inbox()
        self._http = aiohttp.ClientSession()
        devices = [{"user": _id(self.user), "device": _id(self.user)}]
        token = (await _call(self._http, self.place, "tokens", _key(self.place), {"devices": devices}))["tokens"][0]
        gateways = (await _call(self._http, self.place, "discovery", "", None))["gateways"]
        self._socket = await self._http.ws_connect(
            random.choice(gateways), headers={"Authorization": f"Bearer {token['token']}"}, timeout=_patience()
        )
        welcome = await self._socket.receive_bytes(timeout=SILENCE_S)
        if welcome[0] != 0x81:
            raise ConnectionError(f"not WELCOME but {welcome[0]:#x}")
        self._heartbeat_s = struct.unpack_from("!I", welcome, 25)[0] / 1000
        self._heard_s = asyncio.get_running_loop().time()
        self._tasks = [
            asyncio.create_task(self._read(self._socket, self._inbox)),
            asyncio.create_task(self._beat(self._socket)),
        ]
        await self._sync()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, inbox: Inbox) -> None:
        """Take frames until the connection ends."""
        try:
            async for frame in socket:
                if frame.type == aiohttp.WSMsgType.BINARY:
                    self._heard_s = asyncio.get_running_loop().time()
                    self._hear(frame.data)
        finally:
            inbox.end()
            self._answers.end()

    async def _beat(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Send heartbeats, and drop a connection that leaves one unanswered for SILENCE_S."""
        await asyncio.sleep(random.uniform(0, self._heartbeat_s))
        while not socket.closed:
            sent_s = asyncio.get_running_loop().time()
            await socket.send_bytes(b"\x05")
            await asyncio.sleep(SILENCE_S)
            if self._heard_s < sent_s:
                await socket.close()
            await asyncio.sleep(max(0.0, self._heartbeat_s - SILENCE_S))

    def _hear(self, frame: bytes) -> None:
        kind = frame[0]
        if kind in (0x82, 0x83):  # ACK, NACK
            self._answers.settle((0x01, struct.unpack_from("!Q", frame, 9)[0]), frame)
        elif kind == 0x84:  # NOTIFY
            for conv, seq, _flags in _entries(frame, 1):
                self._reached(conv, seq)
        elif kind in (0x86, 0x87, 0x8A):  # PAGE, SYNCED, ERROR
            self._answers.settle((0x03, struct.unpack_from("!I", frame, 1)[0]), frame)
        elif kind == 0x88 and frame[1] & RESYNC:
            self._tasks.append(asyncio.create_task(self._sync()))
        elif kind == 0x89 and self._socket is not None:  # DRAIN
            self._tasks.append(asyncio.create_task(_close(self._socket)))

    async def _ask(self, key: tuple[int, int], frame: bytes) -> bytes:
        """Send a frame, and again each AGAIN_S, until it is answered."""
        assert self._socket is not None
        answer = self._answers.expect(key)
        try:
            while not answer.done():
                await self._socket.send_bytes(frame)
                await asyncio.wait([answer], timeout=AGAIN_S)
            return answer.result()
        finally:
            self._answers.forget(key)

    async def _sync(self) -> None:
        """Ask which conversations are ahead of this device."""
        while True:
            request = next(self._requests)
            seen = b"".join(struct.pack("!QQ", *one) for one in sorted(self._cursors.items()))
            answer = await self._ask((0x03, request), struct.pack("!BIQ", 0x04, request, 0) + seen)
            if answer[0] != 0x87:
                raise ConnectionError(f"SYNC: {answer.hex()}")
            for conv, seq, _flags in _entries(answer, 6):
                self._reached(conv, seq)
            if not answer[5] & STALE:
                return
            await asyncio.sleep(random.uniform(0.5, 1.5))

    def _reached(self, conv: int, seq: int) -> None:
        self._heads[conv] = max(seq, self._heads.get(conv, 0))
        if conv in self._names and conv not in self._fetching and self._heads[conv] > self._cursors.get(conv, 0):
            self._fetching.add(conv)
            self._tasks.append(asyncio.create_task(self._catch_up(conv)))

    async def _catch_up(self, conv: int) -> None:
        """Fetch and show a conversation up to its head."""
        try:
            while (after := self._cursors.get(conv, 0)) < self._heads[conv]:
                head, through, messages = await self._page(conv, after)
                for message in messages:
                    self._inbox.put(message)
                self._cursors[conv] = max(after, through)
                self._heads[conv] = max(head, self._heads[conv])
                if through <= after:
                    await asyncio.sleep(random.uniform(0.1, 0.5))
        finally:
            self._fetching.discard(conv)

    async def _page(self, conv: int, after: int) -> tuple[int, int, list[Message]]:
        request = next(self._requests)
        page = await self._ask((0x03, request), struct.pack("!BIQQH", 0x03, request, conv, after, LIMIT))
        if page[0] != 0x86:
            return 0, 0, []
        head, through, count = struct.unpack_from("!QQH", page, 13)
        at, found = 31, []
        for _ in range(count):
            word, _user, _device, _client_seq, size = struct.unpack_from("!QQQQI", page, at)
            at += 36 + size
            if not word & 0xFFFF:  # a message, and no change of the group
                found.append(Message(self._names[conv], page[at - size : at].decode(), word >> 16))
        return head, through, found

    def events(self) -> AsyncIterator[Message]:
        """Yield what is shown, by rising number."""
        return self._inbox.all()

    async def send(self, room: str, text: str) -> int:
        """Send until there is an answer, on this connection; returns the number."""
        conv = self._convs[room]
        client_seq = next(self._client_seqs.setdefault(self.user, itertools.count(1)))
        answer = await self._ask((0x01, client_seq), struct.pack("!BQQ", 0x01, conv, client_seq) + text.encode())
        if answer[0] == 0x83:
            code = answer[17]
            raise Refused(f"code {code}") if code >= 128 else ConnectionError(f"refused for now: code {code}")
        number = int(struct.unpack_from("!Q", answer, 17)[0])
        self._reached(conv, number)
        return number

    async def history(self, room: str) -> Sequence[Message]:
        """Return everything by FETCH from 0."""
        conv, after, found = self._convs[room], 0, list[Message]()
        while True:
            head, through, messages = await self._page(conv, after)
            found += messages
            if through <= after or through >= head:
                return found
            after = through

    async def close(self) -> None:
        """End the tasks of the connection, and close it."""
        tasks, self._tasks = self._tasks, []
        await end_tasks(*tasks)
        self._fetching.clear()
        await hang_up(self._http)
        self._http = None


async def _close(socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.close()


def _patience() -> aiohttp.ClientWSTimeout:
    return aiohttp.ClientWSTimeout(ws_close=1.0)


def _id(user: str) -> str:
    """Return the id of user12: 1012."""
    return str(1000 + int(user.removeprefix("user")))


def _key(place: Place) -> str:
    """Return the operator's key."""
    return str(json.loads((place.directory / "topology.json").read_text())["api_key"])


async def _call(http: aiohttp.ClientSession, place: Place, path: str, bearer: str, body: object | None) -> Any:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    url, limit = f"http://{HOST}:{place.port}/v1/{path}", aiohttp.ClientTimeout(total=8)
    asking = http.get(url, timeout=limit) if body is None else http.post(url, json=body, headers=headers, timeout=limit)
    async with asking as response:
        response.raise_for_status()
        return await response.json()


def _entries(frame: bytes, at: int) -> list[tuple[int, int, int]]:
    """Return (conv, seq, flags) of each entry from that byte on."""
    words = struct.iter_unpack("!QQ", frame[at : len(frame) - (len(frame) - at) % 16])
    return [(conv, word >> 16, word & 0xFFFF) for conv, word in words]
