"""The port: what an adapter tells the harness about one chat system. docs/your-own-chat.md shows one from its start.

An adapter file defines one subclass of Target. One object of it is one person's device. All its methods run in one
event loop. Whatever a method raises is taken for a broken connection; `Refused` is a definite no.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Generic, NamedTuple, Protocol, TypeVar

HOST = "127.0.0.1"
HANG_UP_S = 2.0

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Refused(Exception):
    """The service said no, and the message will never appear."""


class NotHere(Exception):
    """This machine lacks the server. The text says in one line what to install."""


class Message(NamedTuple):
    """One message as the chat system gives it to a client."""

    room: str
    text: str
    number: int = 0
    """`numbered`: the system's own 1, 2, 3... in each room. Else any id that rises with the room's order, such as an
    archive's; 0 where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the server of one run is. Devices dial `port`, which leads through a proxy that can break the way."""

    directory: Path
    """A directory of the run for files of the server."""
    listen: int
    """The port on 127.0.0.1 on which the server has to listen, and to answer HTTP."""
    port: int
    """The port on 127.0.0.1 that devices dial."""
    helpers: Mapping[str, int] = field(default_factory=dict)
    """The port of each helper that the target asked for, such as "redis"."""


class Target(ABC):
    """One device of one person at a chat system."""

    numbered: ClassVar[bool] = False
    """True if the system numbers the messages of a room 1, 2, 3... without holes. Otherwise the harness does: by their
    ids, or where they have none by their place in the history."""
    profile: ClassVar[str] = ""
    """Our own system only: the profile to start instead of `command`."""
    helpers: ClassVar[tuple[str, ...]] = ()
    """Servers that the harness starts beside it: "redis" is the only one."""
    start_s: ClassVar[float] = 60.0
    """Seconds within which its server answers HTTP."""

    def __init__(self, place: Place, user: str, rooms: Sequence[str]) -> None:
        self.place = place
        self.user = user
        self.rooms = tuple(rooms)

    @classmethod
    @abstractmethod
    def command(cls, place: Place) -> Sequence[str]:
        """Write what the server needs into place.directory and return its command line. Raises NotHere.

        The server is started by this command, and again after a crash. It must not go to the background.
        """

    @classmethod  # noqa: B027 (an adapter may leave it out)
    async def prepare(cls, place: Place, members: Mapping[str, Sequence[str]]) -> None:
        """Make users and rooms, once, before anybody connects. `members`: the users of each room."""

    @abstractmethod
    async def connect(self) -> None:
        """Connect and join all rooms. On return this device hears of every later message."""

    async def reconnect(self) -> None:
        """Connect again after a lost connection, and take up what was missed: `events` gives that first."""
        await self.connect()

    @abstractmethod
    def events(self) -> AsyncIterator[Message]:
        """Yield every message in the order in which the client shows it, own ones too. Ends with the connection."""

    @abstractmethod
    async def send(self, room: str, text: str) -> int:
        """Send, and return the message's number once the service has taken it (0 where it has none).

        Raises Refused. Any other error means that nobody knows.
        """

    @abstractmethod
    async def history(self, room: str) -> Sequence[Message]:
        """Return all messages of the room from the service's own history, oldest first."""

    @abstractmethod
    async def close(self) -> None:
        """End the connection. Harmless when there is none."""


class Inbox:
    """A queue of messages for `events` that ends when the connection does."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue()

    def put(self, message: Message) -> None:
        self._queue.put_nowait(message)

    def end(self) -> None:
        """Say that no more will come."""
        self._queue.put_nowait(None)

    async def all(self) -> AsyncIterator[Message]:
        """Yield the messages until the end."""
        while (message := await self._queue.get()) is not None:
            yield message


class Answers(Generic[K, T]):
    """Questions on one connection that wait for their answers, each under a key of its own."""

    def __init__(self) -> None:
        self._waiting: dict[K, asyncio.Future[T]] = {}

    def expect(self, key: K) -> asyncio.Future[T]:
        """Return the answer to come. Await it after the question was sent."""
        answer = self._waiting[key] = asyncio.get_running_loop().create_future()
        return answer

    def settle(self, key: K, answer: T) -> None:
        """Give an answer to whoever waits for it. Harmless when nobody does."""
        waiting = self._waiting.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def forget(self, key: K) -> None:
        """Take a question back."""
        self._waiting.pop(key, None)

    def end(self) -> None:
        """Raise ConnectionError in all who wait: the connection ended."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("the connection ended"))
        self._waiting.clear()


class Closable(Protocol):
    """What holds the connection, such as an HTTP session."""

    async def close(self) -> None:
        """Say goodbye and wait for the server's answer, however long that takes."""


async def end_tasks(*tasks: asyncio.Task[None] | None) -> None:
    """Cancel the tasks of a connection, and return when they have ended."""
    there = [task for task in tasks if task is not None]
    for task in there:
        task.cancel()
    await asyncio.gather(*there, return_exceptions=True)


async def hang_up(connection: Closable | None) -> None:
    """Close a connection, within HANG_UP_S even if the server is silent."""
    if connection is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANG_UP_S):
                await connection.close()
