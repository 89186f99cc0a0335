"""Conversations and members through the log: append, poke, await the sequencer's answer.

The API is an edge node like a gateway. Its records name it as their origin, and the sequencer's answer comes back over
the sequencer's own link. No answer in time means that the outcome is unknown; every operation may be repeated.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Mapping
from typing import Final

from sut.ports import Kind, LogRecord, MessageLog, Origin, Unavailable
from sut.process.partitioning import partition_of
from sut.process.peer import PeerConnection, PeerLink
from sut.protocol.frames import Ack, Nack, Refused, decode_server
from sut.protocol.peer import Deliver, Deliveries, Missed, PeerFrame, Poke

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

    def __init__(
        self, *, node: str, incarnation: int, message_log: MessageLog, sequencers: Mapping[int, PeerLink]
    ) -> None:
        """`sequencers`: the link to the owner of each log partition."""
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
            case Missed():
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

    async def create(self, conv: int, creator: int, *, kind: str, members: tuple[int, ...]) -> int:
        """Create a conversation. Returns 0. Raises Denied, Unavailable."""
        return await self._change(Kind.CREATE, conv, creator, body=kind.encode(), members=members)

    async def add(self, conv: int, by: int, user: int) -> int:
        """Add a user. Returns the number that the change took. Raises Denied, Unavailable."""
        return await self._change(Kind.ADD, conv, by, body=b"", members=(user,))

    async def remove(self, conv: int, by: int, user: int) -> int:
        """Remove a user. Returns the number that the change took. Raises Denied, Unavailable."""
        return await self._change(Kind.REMOVE, conv, by, body=b"", members=(user,))

    async def name(self, conv: int, by: int, user: int, role: int) -> int:
        """Give a member a role. Returns the number that the change took. Raises Denied, Unavailable."""
        return await self._change(Kind.ROLE, conv, by, body=bytes([role]), members=(user,))

    async def _change(self, kind: Kind, conv: int, user: int, *, body: bytes, members: tuple[int, ...]) -> int:
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable(f"{MAX_WAITING} requests wait already")
        number = next(self._numbers)
        record = LogRecord(kind, conv, user, 0, 0, body, members, Origin(self._node, self._incarnation, number))
        partition = partition_of(conv, len(self._sequencers))
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._log.append(partition, [record])
                self._sequencers[partition].send(Poke(partition))
                return await future
        except TimeoutError:
            raise Unavailable(f"no answer in {ANSWER_TIMEOUT_S} s; repeat the request") from None
        finally:
            self._waiting.pop(number, None)
