"""The adapter to the small chat beside it."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp

from chaos.targets.target import HOST, Inbox, Message, Place, Target


class Tiny(Target):
    """One client of the small chat."""

    numbered = True
    words: tuple[str, ...] = ()

    def __init__(self, place: Place, user: str, rooms: Sequence[str]) -> None:
        super().__init__(place, user, rooms)
        self.http = None
        self.reader = None
        self.ids = itertools.count(1)
        self.answers = {}
        self.shown = dict.fromkeys(rooms, 0)

    @classmethod
    def command(cls, place: Place) -> Sequence[str]:
        """Return the command line."""
        server = Path(__file__).with_name("server.py")
        return (sys.executable, str(server), str(place.listen), str(place.directory / "all.jsonl"), *cls.words)

    async def connect(self) -> None:
        """Connect and take what is missing."""
        await self.close()
        self.inbox = Inbox()
        self.http = aiohttp.ClientSession()
        self.socket = await self.http.ws_connect(f"http://{HOST}:{self.place.port}/", heartbeat=2)
        self.reader = asyncio.create_task(self.read())
        for room in self.rooms:
            for message in await self.history(room):
                self.show(message)

    async def read(self) -> None:
        try:
            async for frame in self.socket:
                said = frame.json()
                if "message" in said:
                    room, number, text = said["message"]
                    self.show(Message(room, text, number))
                elif said["id"] in self.answers:
                    self.answers.pop(said["id"]).set_result(said)
        finally:
            self.inbox.end()
            for answer in self.answers.values():
                answer.set_exception(ConnectionError("the connection ended"))
            self.answers.clear()

    def show(self, message: Message) -> None:
        if message.number == self.shown.get(message.room, 1 << 60) + 1:
            self.shown[message.room] = message.number
            self.inbox.put(message)

    async def ask(self, **said: object) -> dict:
        number = next(self.ids)
        self.answers[number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": number, **said})
        return await self.answers[number]

    def events(self) -> AsyncIterator[Message]:
        """Yield what is shown."""
        return self.inbox.all()

    async def send(self, room: str, text: str) -> int:
        """Send and return the number."""
        return (await self.ask(room=room, text=text))["number"]

    async def history(self, room: str) -> Sequence[Message]:
        """Return all."""
        return [Message(room, text, number) for number, text in (await self.ask(room=room, after=0))["page"]]

    async def close(self) -> None:
        """Close."""
        if self.reader is not None:
            self.reader.cancel()
            await asyncio.gather(self.reader, return_exceptions=True)
        if self.http is not None:
            await self.http.close()
