"""Conversations and members through the log: append, poke, await the sequencer's answer.

The API is an edge node like a gateway. Its records name it as their origin, and the sequencer's answer comes back over
the sequencer's own link. No answer in time means that the outcome is unknown; every operation may be repeated.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from sut.ports import Kind, LogRecord, MessageLog, Origin, Unavailable
from sut.process.partitioning import partition_of
from sut.process.peer import PeerConnection
from sut.protocol.frames import Ack, Nack, Refused, decode_server
from sut.protocol.peer import AskRoutes, Deliver, Deliveries, Missed, PeerFrame, Poke
from sut.services.covered import Way

ANSWER_TIMEOUT_S: Final = 5.0
MAX_WAITING: Final = 10_000


class Denied(Exception):
    """The sequencer refused the change; nothing has changed."""

    def __init__(self, code: int) -> None:
        super().__init__(_REASONS.get(code, f"refused with code {code}"))
        self.code = code


_REASONS: Final[dict[int, str]] = {
    Nack.FOREIGN: "you have no such conversation",
    Nack.NOT_MEMBER: "not a member of this conversation",
    Nack.GROUP_FULL: "the group is full",
    Nack.NOT_ALLOWED: "members of a 1:1 conversation are fixed, and in a group your role does not allow this",
    Nack.REUSED: "you created another group with this key: its members or who may add were others",
    Nack.OWNER_STAYS: "an owner gives the role away by naming another owner, or by leaving",
}


class Creation(NamedTuple):
    """A conversation to create. `kind` as in ports.LogRecord; `members`: its first members, the creator included."""

    conv: int
    creator: int
    kind: str
    members: tuple[int, ...]


_Change = tuple[Kind, int, int, bytes, tuple[int, ...]]
"""Kind, conversation, user who asks, body and members of a record."""


def direct_id(secret: bytes, user: int, other: int) -> int:
    """Return the id of the one conversation between two users, whoever creates it.

    `secret`: `Topology.conversation_secret`. Without it nobody can compute whose conversation an id (in a push) is.
    """
    return _id(secret, f"direct:{min(user, other)}:{max(user, other)}")


def group_id(secret: bytes, creator: int, key: str) -> int:
    """Return the id of the group that this creator makes under this idempotency key."""
    return _id(secret, f"group:{creator}:{key}")


def _id(secret: bytes, text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, key=secret).digest(), "big") >> 1 or 1


class Control:
    """Appends control records to the log and passes the sequencers' answers to the callers that wait."""

    def __init__(self, *, node: str, incarnation: int, message_log: MessageLog, sequencers: Mapping[int, Way]) -> None:
        """`sequencers`: the way to the owner of each log partition."""
        self._node = node
        self._incarnation = incarnation
        self._log = message_log
        self._sequencers = sequencers
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[int]] = {}

    def on_frame(self, connection: PeerConnection, _correlation: int, frame: PeerFrame) -> None:
        """Take the answers of a sequencer (`PeerServer.on_frame`)."""
        match frame:
            case Deliver():
                self._answered(frame)
            case Deliveries(items):
                for item in items:
                    self._answered(item)
            case Missed() | AskRoutes():
                pass
            case _:
                connection.abort()

    def _answered(self, item: Deliver) -> None:
        answer = decode_server(item.frame)
        for number in item.conns:
            future = self._waiting.get(number)
            if future is None or future.done():
                continue
            if isinstance(answer, Ack):
                future.set_result(answer.seq)
            elif isinstance(answer, Refused):
                future.set_exception(Denied(answer.code))

    async def create(self, creations: Sequence[Creation]) -> None:
        """Create conversations, those of one partition with one append. Raises Denied of the first, Unavailable.

        The others are created even if one is denied.
        """
        await self._change(
            [(Kind.CREATE, made.conv, made.creator, made.kind.encode(), made.members) for made in creations]
        )

    async def add(self, conv: int, by: int, user: int) -> int:
        """Add a user. Returns the number that the change took. Raises Denied, Unavailable."""
        return (await self._change([(Kind.ADD, conv, by, b"", (user,))]))[0]

    async def remove(self, conv: int, by: int, user: int) -> int:
        """Remove a user. Returns the number that the change took. Raises Denied, Unavailable."""
        return (await self._change([(Kind.REMOVE, conv, by, b"", (user,))]))[0]

    async def name(self, conv: int, by: int, user: int, role: int) -> int:
        """Give a member a role. Returns the number that the change took. Raises Denied, Unavailable."""
        return (await self._change([(Kind.ROLE, conv, by, bytes([role]), (user,))]))[0]

    async def _change(self, changes: Sequence[_Change]) -> list[int]:
        """Return the number that each change took. Raises Denied of the first that was denied, Unavailable."""
        if len(self._waiting) + len(changes) > MAX_WAITING:
            raise Unavailable(f"{len(self._waiting)} requests wait already")
        loop = asyncio.get_running_loop()
        futures: dict[int, asyncio.Future[int]] = {}
        records: defaultdict[int, list[LogRecord]] = defaultdict(list)
        for kind, conv, user, body, members in changes:
            number = next(self._numbers)
            futures[number] = loop.create_future()
            origin = Origin(self._node, self._incarnation, number)
            partition = partition_of(conv, len(self._sequencers))
            records[partition].append(LogRecord(kind, conv, user, 0, 0, body, members, origin))
        self._waiting |= futures
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await asyncio.gather(*(self._append(partition, some) for partition, some in records.items()))
                answers = await asyncio.gather(*futures.values(), return_exceptions=True)
        except TimeoutError:
            raise Unavailable(f"no answer in {ANSWER_TIMEOUT_S} s; repeat the request") from None
        finally:
            for number in futures:
                del self._waiting[number]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if isinstance(answer, int)]

    async def _append(self, partition: int, records: list[LogRecord]) -> None:
        await self._log.append(partition, records)
        self._sequencers[partition].send(Poke(partition))
