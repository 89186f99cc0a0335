"""Calls on a Redis Cluster: each call in one slot, many calls in one round trip to each master, none done twice.

A call is repeated only after an answer which says that it had no effect: MOVED, ASK, TRYAGAIN, or a script that the
server does not know. After anything else the caller hears Unavailable, and the effect of its calls is unknown.

A master that does not answer is away: calls to it fail at once, and the others go on. A background task asks every
master once a second, every 200 ms while one is away, and learns who has which slot. `generation` rises when what was
written may be lost: a master of slots has none any more (a replica has them), or it was restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AskError, MovedError, NoScriptError, RedisError, ResponseError, TryAgainError

from sut.adapters.redis.client import Address, ClusterClient, Command, Node, slot_of
from sut.adapters.redis.master import RETRY_S, WATCH_S
from sut.adapters.redis.script import BUCKET, MAX_BATCH, Script
from sut.adapters.shared.patience import patience
from sut.deploy.logins import Login
from sut.ports import Unavailable
from sut.process.lateness import Recent, limit_s

TAGS: Final = 256
"""Users are spread over so many slots, and so over at most as many masters. A batch of users costs a script for each
slot that it touches: with more slots a lookup of 500 users would be 500 scripts."""
MAX_USERS: Final = 4 * MAX_BATCH
"""Users in one round trip, over all masters."""
AGAIN_S: Final = 0.02
"""Seconds before a call is repeated whose keys are on their way to another master."""

log = logging.getLogger("redis")


class Call(NamedTuple):
    """A command, or a script, whose keys are all in the slot of `key`."""

    key: str
    command: Command
    full: Callable[[], Command] | None = None
    """Returns what to send where the server does not know the script."""


def scripted(script: Script, keys: Sequence[str], arguments: Command) -> Call:
    """Return the call of a script. All keys are in one slot."""
    return Call(keys[0], script.command(keys, arguments), partial(script.command, keys, arguments, full=True))


def place(kind: str, user: int) -> tuple[str, int]:
    """Return the key of the hash that has the user, in the slot of the bucket's tag, and the user's field in it."""
    bucket = user // BUCKET
    return f"{kind}:{{{bucket % TAGS}}}:{bucket}", user % BUCKET


def by_slot(users: Iterable[int]) -> list[list[int]]:
    """Return the positions of the users in groups of one slot, each of MAX_BATCH at most."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for position, user in enumerate(users):
        found[user // BUCKET % TAGS].append(position)
    return [group[at : at + MAX_BATCH] for group in found.values() for at in range(0, len(group), MAX_BATCH)]


def slots_of_tags() -> dict[int, int]:
    """Return the slot of each tag of users."""
    return {tag: slot_of(f"{{{tag}}}") for tag in range(TAGS)}


class Shards:
    """Calls the masters of a cluster, each within a deadline. Belongs to one event loop; starts with the first call."""

    def __init__(
        self,
        addresses: Sequence[Address],
        *,
        address_map: Mapping[Address, Address],
        deadline_s: float,
        login: Login | None = None,
    ) -> None:
        """`addresses`: where to dial the nodes. `address_map`: a node's own address -> where to dial it (a proxy)."""
        self._client = ClusterClient(
            addresses, address_map=address_map, deadline_s=deadline_s, greeting=self._greet, login=login
        )
        self._deadline_s = deadline_s
        self._took = Recent()
        """Seconds that answers took, and those after which they were not there."""
        self._lives: dict[Address, bytes] = {}
        """The run id of each node that was dialed."""
        self._masters: frozenset[str] = frozenset()
        self._slots: list[Any] | None = None
        """Who had which slots when the map was made."""
        self._away: dict[str, str] = {}
        """The masters that did not answer: name -> reason."""
        self._keeper: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()
        """Set after the first look."""
        self._lost = asyncio.Event()
        self._reason = "not connected yet"
        self._closed = False
        self.generation = 0
        """Rises when what was written may be lost; 0 before the first look."""
        self.certain_s = -math.inf
        """When a look last began that found every master in its place. Later writes to one of them may be lost."""

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Return the answers, unparsed. Raises Unavailable, at once if a master that is needed is known to be away.

        Otherwise it raises within the deadline, and the first call within a second one. Then each call may have had
        its effect, or not. The deadline is longer after late answers (sut/process/lateness.py).
        """
        await self._ready()
        asked_s = time.monotonic()
        patience_s = limit_s(self._deadline_s, self._took.at(asked_s))
        late: set[str] = set()
        try:
            async with patience(patience_s):
                answers = await self._answers(calls, late)
            self._took.note(time.monotonic() - asked_s, time.monotonic())
            return answers
        except TimeoutError:
            reason = f"no answer in {patience_s:.1f} s"
            self._took.note(patience_s, time.monotonic())
            for name in late:
                self._is_away(name, reason)
        except (RedisError, OSError) as error:
            reason = str(error) or type(error).__name__
            self._lost.set()
        raise Unavailable(f"redis: {reason}")

    async def close(self) -> None:
        """End the background task and all connections. Later calls fail."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        await self._client.close()

    async def _ready(self) -> None:
        if self._closed:
            raise Unavailable("redis: closed")
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="redis cluster keeper")
        if not self._looked.is_set():
            with contextlib.suppress(TimeoutError):
                async with patience(self._deadline_s):
                    await self._looked.wait()
        if not self._masters:
            raise Unavailable(f"redis: away, {self._reason}")

    async def _answers(self, calls: Sequence[Call], late: set[str]) -> list[Any]:
        """Return the answers. Repeats what had no effect, while the caller waits. Raises RedisError, OSError.

        When it is cancelled, `late` has the names of the masters that have not answered.
        """
        answers: list[Any] = [None] * len(calls)
        waiting = {position: call.command for position, call in enumerate(calls)}
        while waiting:
            parts: defaultdict[Node, list[int]] = defaultdict(list)
            for position in waiting:
                parts[self._master_of(calls[position].key)].append(position)
            found = await asyncio.gather(
                *(self._ask(node, [waiting[one] for one in part], late) for node, part in parts.items()),
                return_exceptions=True,  # the parts of others are not left under way
            )
            for part, answered in zip(parts.values(), found, strict=True):
                if isinstance(answered, BaseException):
                    raise answered
                for position, answer in zip(part, answered, strict=True):
                    answers[position] = answer
            waiting = {
                position: again
                for position in waiting
                if (again := await self._again(calls[position], waiting[position], answers, position)) is not None
            }
        return answers

    async def _again(self, call: Call, command: Command, answers: list[Any], position: int) -> Command | None:
        """Return what must be sent again, as the answer says that nothing was done; None: there is an answer.

        Raises ResponseError for any other error that a server answered.
        """
        answer = answers[position]
        while isinstance(answer, AskError):
            node = await self._client.redirected(answer)
            if isinstance(answer, MovedError):
                return command
            _, answer = await self._ask(node, [("ASKING",), command])  # ASKING counts for the next command only
        if isinstance(answer, NoScriptError) and call.full is not None:
            return call.full()
        if isinstance(answer, TryAgainError):
            await asyncio.sleep(AGAIN_S)
            return command
        if isinstance(answer, ResponseError):
            raise answer
        answers[position] = answer
        return None

    def _master_of(self, key: str) -> Node:
        """Return the master. Raises RedisError if there is none, or it is away."""
        node = self._client.master_of(key)
        if node.name in self._away:
            raise RedisError(f"{node.name} away, {self._away[node.name]}")
        return node

    async def _ask(self, node: Node, commands: Sequence[Command], late: set[str] | None = None) -> list[Any]:
        try:
            return await self._client.ask(node, commands)
        except asyncio.CancelledError:
            if late is not None:
                late.add(node.name)
            raise
        except (RedisError, OSError) as error:
            self._is_away(node.name, str(error) or type(error).__name__)
            raise

    def _is_away(self, name: str, reason: str) -> None:
        if name not in self._away:
            log.warning("redis master %s lost: %s", name, reason)
        self._away[name] = reason
        self._lost.set()

    async def _keep(self) -> None:
        while True:
            self._lost.clear()
            try:
                await self._look()
            except (TimeoutError, RedisError, OSError) as error:
                self._reason = str(error) or type(error).__name__
            self._looked.set()
            fine = self._masters and not self._away
            if not fine:
                await asyncio.sleep(RETRY_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_S):
                    await self._lost.wait()

    async def _look(self) -> None:
        """Learn who has which slot, and which master answers. Raises RedisError, OSError, TimeoutError."""
        began_s = time.monotonic()
        async with patience(3 * self._deadline_s):
            slots = await self._told()
            if slots is None or slots != self._slots:
                await self._client.refresh(without=next(iter(self._away), None))
                self._slots = slots
        masters = self._client.masters()
        answered = dict(zip(masters, await asyncio.gather(*map(self._ping, masters.values())), strict=True))
        for name in self._away.keys() - {name for name, reason in answered.items() if reason is not None}:
            del self._away[name]
        for name, reason in answered.items():
            if reason is not None:
                self._is_away(name, reason)
        if self._masters - masters.keys() or not self.generation:
            self._rises(f"masters are {', '.join(sorted(masters))}")
        elif not self._away:
            self.certain_s = began_s
        self._masters = frozenset(masters)

    async def _told(self) -> list[Any] | None:
        """Return which master has which slots, as one that is not away says; None if there is none.

        Raises RedisError, OSError.
        """
        present = [node for name, node in self._client.masters().items() if name not in self._away]
        if not present:
            return None
        (answer,) = await self._ask(random.choice(present), [("CLUSTER", "SLOTS")])
        if isinstance(answer, ResponseError):
            raise answer
        return sorted((first, last, *master) for first, last, master, *_ in answer)

    async def _ping(self, node: Node) -> str | None:
        """Return why a master does not answer; None if it does."""
        try:
            async with patience(self._deadline_s):
                (answer,) = await self._client.ask(node, [("PING",)])
        except (TimeoutError, RedisError, OSError) as error:
            return str(error) or "no answer"
        return str(answer) if isinstance(answer, ResponseError) else None

    async def _greet(self, connection: AbstractConnection) -> None:
        """Log in on a new connection, and see whether the node has been restarted since the last one."""
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        info = bytes(await connection.read_response())
        life = next((line for line in info.splitlines() if line.startswith(b"run_id:")), b"")
        address = connection.host, int(connection.port)  # type: ignore[attr-defined]
        if self._lives.setdefault(address, life) != life:
            self._lives[address] = life
            if f"{address[0]}:{address[1]}" in self._masters:
                self._rises(f"{address[0]}:{address[1]} was restarted")

    def _rises(self, why: str) -> None:
        self.generation += 1
        log.info("redis cluster, generation %d: %s", self.generation, why)
