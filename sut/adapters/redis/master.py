"""The connection to the present Redis master: found through Sentinel, dropped on any error, then found again.

The state is a session with a verified master, or none. Any error or missed deadline ends the session, and the next one
begins by asking Sentinel. Without a session calls fail at once, while a background task tries every 200 ms. A call
waits only for the first try after a loss, so that a connection that was merely reset costs no second error. The task
also asks Sentinel every second during a session: a master that is cut off from its Sentinels accepts writes that are
lost later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from sut.adapters.redis.client import Address, RedisClient
from sut.adapters.redis.sentinel import MasterFinder
from sut.adapters.shared.patience import patience
from sut.deploy.logins import Login
from sut.ports import Unavailable
from sut.process.lateness import Recent, limit_s

RETRY_S: Final = 0.2
"""Seconds between tries while there is no session."""
MAX_TRY_S: Final = 2.0
"""The longest try in seconds: a try that was begun while the way was cut hinders the next one for so long."""
WATCH_S: Final = 1.0
"""Seconds between checks of Sentinel and of the session, while there is one."""
MAX_CONNECTIONS: Final = 8

T = TypeVar("T")
log = logging.getLogger("redis")


class _Session(NamedTuple):
    """A verified master. `address` is the one that Sentinel names, before it is mapped."""

    address: Address
    client: RedisClient


class RedisMaster:
    """Calls the current master, each within a deadline. Belongs to one event loop; starts with the first call."""

    def __init__(
        self,
        *,
        sentinels: Sequence[Address],
        master_name: str,
        address_map: Mapping[Address, Address],
        deadline_s: float,
        login: Login | None = None,
        sentinel_login: Login | None = None,
    ) -> None:
        """`address_map`: the address Sentinel names -> where to dial it (a proxy); others are dialled directly.

        `login`: for the master; None where it has no users. `sentinel_login`: for the Sentinels.
        """
        self._finder = MasterFinder(sentinels, master_name, deadline_s=deadline_s, login=sentinel_login)
        self._login = login
        self._address_map = dict(address_map)
        self._deadline_s = deadline_s
        self._took = Recent()
        """Seconds that answers took, and those after which they were not there."""
        self._tried = Recent()
        """Seconds after which tries were given up."""
        self._session: _Session | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._first_try: asyncio.Future[None] | None = None
        """Pending during the first try after the last session."""
        self._lost = asyncio.Event()
        self._reason = "not connected yet"
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self.generation = 0
        """The number of sessions so far. Data written in an earlier one may be lost."""
        self.certain_s = -math.inf
        """When the Sentinels were last asked and named the master of the session that there was. So it is of an earlier
        session until they have been asked in this one."""
        self.on_change: Callable[[], None] | None = None
        """Called from the event loop when a session began or ended."""

    @property
    def up(self) -> bool:
        """True while there is a session."""
        return self._session is not None

    async def call(self, operation: Callable[[RedisClient], Awaitable[T]]) -> T:
        """Return what `operation` returns. Raises Unavailable, at once while Redis is known to be away.

        Otherwise it raises within the deadline, and within a second one if it had to wait for the first try of a
        session. The deadline is longer after late answers (sut/process/lateness.py). On any failure the session ends,
        and it is unknown whether the operation had an effect.
        """
        session = self._session or await self._next_session()
        asked_s = time.monotonic()
        patience_s = limit_s(self._deadline_s, self._took.at(asked_s))
        try:
            async with patience(patience_s):
                answer = await operation(session.client)
            self._took.note(time.monotonic() - asked_s, time.monotonic())
            return answer
        except TimeoutError:
            reason = f"no answer in {patience_s:.1f} s"
            self._took.note(patience_s, time.monotonic())
        except (RedisError, OSError) as error:
            reason = _text(error)
        self._lose(session, reason)
        raise Unavailable(f"redis: {reason}")

    async def close(self) -> None:
        """End the session and the background task. Later calls fail."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        if self._session is not None:
            self._closing.add(asyncio.create_task(_close(self._session.client, after_s=0)))
            self._session = None
        if self._closing:
            await asyncio.wait(self._closing, timeout=2 * self._deadline_s)
        await self._finder.close()

    async def _next_session(self) -> _Session:
        """Return the session, waiting only for a first try in progress. Raises Unavailable if there is none."""
        if self._closed:
            raise Unavailable("redis: closed")
        if self._keeper is None:
            self._expect_first_try()
            self._keeper = asyncio.create_task(self._keep(), name="redis keeper")
        if self._first_try is not None:
            await asyncio.wait({self._first_try}, timeout=self._deadline_s)
        if self._session is None:
            raise Unavailable(f"redis: away, {self._reason}")
        return self._session

    async def _keep(self) -> None:
        while True:
            if self._session is None:
                await self._try()
                if self._session is None:
                    await asyncio.sleep(RETRY_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_S):
                    await self._lost.wait()
            if self._session is not None:
                await self._look_at(self._session)

    async def _try(self) -> None:
        """Try once. After tries that took too long the next ones get more time: to begin again makes nothing faster."""
        patience_s = min(limit_s(3 * self._deadline_s, self._tried.at(time.monotonic())), MAX_TRY_S)
        try:
            async with patience(patience_s):
                self._begin(await self._connect(patience_s / 3))
        except (TimeoutError, RedisError, OSError, Unavailable) as error:
            self._reason = _text(error)
            if isinstance(error, TimeoutError | Unavailable):
                self._tried.note(patience_s, time.monotonic())
        finally:
            if self._first_try is not None and not self._first_try.done():
                self._first_try.set_result(None)
            self._first_try = None

    async def _connect(self, patience_s: float) -> _Session:
        """Ask Sentinel for the master and verify it. Raises RedisError, OSError, Unavailable.

        `patience_s`: for the answer of the Sentinels.
        """
        address = await self._finder.find(patience_s)
        dialled = self._address_map.get(address, address)
        client = RedisClient(
            dialled,
            deadline_s=self._deadline_s,
            max_connections=MAX_CONNECTIONS,
            greeting=_same_master(),
            login=self._login,
        )
        try:
            await client.ask("PING")
        except BaseException:
            self._retire(client, after_s=0)
            raise
        return _Session(address, client)

    def _begin(self, session: _Session) -> None:
        self._session = session
        self._lost.clear()
        self.generation += 1
        log.info("redis master is %s:%d", *session.address)
        self._announce()

    def _lose(self, session: _Session, reason: str) -> None:
        """End this session, unless another has begun."""
        if self._session is not session:
            return
        self._session = None
        self._reason = reason
        log.warning("redis master %s:%d lost: %s", *session.address, reason)
        self._expect_first_try()
        self._lost.set()
        self._retire(session.client, after_s=self._deadline_s)  # its other calls have ended by then
        self._announce()

    async def _look_at(self, session: _Session) -> None:
        """End a session whose server is no longer master or does not answer."""
        asked_s = time.monotonic()
        with contextlib.suppress(Unavailable):
            address = await self._finder.find()
            if address != session.address:
                self._lose(session, f"{address[0]}:{address[1]} is master now")
                return
            self.certain_s = asked_s
        if self._session is session:
            with contextlib.suppress(Unavailable):
                await self.call(lambda client: client.ask("PING"))

    def _expect_first_try(self) -> None:
        self._first_try = asyncio.get_running_loop().create_future()

    def _announce(self) -> None:
        if self.on_change is not None:
            asyncio.get_running_loop().call_soon(self.on_change)

    def _retire(self, client: RedisClient, *, after_s: float) -> None:
        task = asyncio.create_task(_close(client, after_s=after_s), name="redis close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _same_master() -> Callable[[AbstractConnection], Awaitable[None]]:
    """Return a greeting that accepts one life of one master only: pools reconnect without a notice."""
    first: list[bytes] = []

    async def greet(connection: AbstractConnection) -> None:
        await connection.on_connect()
        await connection.send_command("ROLE")
        role = (await connection.read_response())[0]
        if role != b"master":
            raise RedisConnectionError(f"the server is a {role.decode()}, not the master")
        await connection.send_command("INFO", "server")
        info = bytes(await connection.read_response())
        run_id = next((line for line in info.splitlines() if line.startswith(b"run_id:")), b"")
        if run_id != (first or [run_id])[0]:
            raise RedisConnectionError("the server was restarted")
        first[:] = [run_id]

    return greet


async def _close(client: RedisClient, *, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await client.close()


def _text(error: BaseException) -> str:
    """Return the error in one line, without our own prefix."""
    return str(error).removeprefix("redis: ") or type(error).__name__
