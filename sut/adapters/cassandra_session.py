"""Cassandra from an event loop: bounded, each request with a deadline, results handed over to the loop.

The driver has threads of its own (libev where it is compiled in). A request is given to it without waiting; its
callback comes on the driver's thread and goes back with call_soon_threadsafe, which uvloop has too. Connecting,
making or waiting for the tables and preparing the statements happen on a thread, again and again until they succeed:
a process may start before its store, and a call that comes too early is Unavailable after its deadline like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from cassandra import DriverException
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, NoHostAvailable, Session
from cassandra.query import BatchStatement, BatchType, PreparedStatement

from sut.adapters.cassandra_policies import WRITES, Address, make_cluster
from sut.adapters.cassandra_rows import Batch
from sut.adapters.cassandra_schema import Binding, ensure_schema
from sut.adapters.patience import patience
from sut.ports import Unavailable

MAX_IN_FLIGHT: Final = 64
"""Requests with the driver. Two cores that also run the nodes serve no more at once; the rest waits here, in order."""
MAX_WAITING: Final = 5_000
"""Requests that may wait for their turn; beyond it they are refused at once."""
SCHEMA_DEADLINE_S: Final = 60.0
CONNECT_AGAIN_S: Final = 0.5

log = logging.getLogger("cassandra_store")


class _Connected(NamedTuple):
    session: Session
    prepared: dict[str, PreparedStatement]


class CassandraSession:
    """The prepared statements of one keyspace, run within deadlines. Belongs to one event loop."""

    def __init__(
        self,
        dialed: Mapping[Address, Address],
        *,
        binding: Binding,
        statements: Mapping[str, str],
        local_dc: str | None,
        deadline_s: float,
    ) -> None:
        """Opens nothing yet. `dialed`: by a node's own address, where to dial it. `statements`: CQL by name."""
        self._dialed = dialed
        self._binding = binding
        self._statements = statements
        self._local_dc = local_dc
        self._deadline_s = deadline_s
        self._places = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._waiting = 0
        self._connecting: asyncio.Task[_Connected] | None = None
        self._trouble = "not connected yet"
        self._closed = False

    async def read(self, name: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a SELECT of at most a few thousand. Raises Unavailable."""
        return await self._run(lambda prepared: prepared[name].bind(parameters), EXEC_PROFILE_DEFAULT)

    async def write(self, batch: Batch) -> None:
        """Write to one partition; on return a quorum has it. Raises Unavailable, with an unknown outcome."""

        def bind(prepared: dict[str, PreparedStatement]) -> Any:
            if len(batch.statements) == 1:
                name, parameters = batch.statements[0]
                return prepared[name].bind(parameters)
            together = BatchStatement(BatchType.UNLOGGED)
            together.is_idempotent = True
            for name, parameters in batch.statements:
                together.add(prepared[name], parameters)
            return together

        await self._run(bind, WRITES)

    async def close(self) -> None:
        """End the connections, within the deadline. What is under way becomes Unavailable."""
        self._closed = True
        task, self._connecting = self._connecting, None
        if task is None:
            return
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            connected = await task
            async with asyncio.timeout(self._deadline_s):
                await asyncio.to_thread(connected.session.cluster.shutdown)

    async def _run(self, bind: Any, profile: Any) -> list[tuple[Any, ...]]:
        if self._closed:
            raise Unavailable("cassandra: closed")
        if self._waiting >= MAX_WAITING:
            raise Unavailable(f"cassandra: overloaded, {self._waiting} requests wait")
        self._waiting += 1
        entered = False
        try:
            async with patience(self._deadline_s):
                await self._places.acquire()
                entered = True
                connected = await self._connection()
                answer = asyncio.get_running_loop().create_future()
                # From here on the place is the driver's: it is free when the driver is done, not when we give up.
                self._hand_over(connected, bind, profile, answer)
                entered = False
                rows: list[tuple[Any, ...]] = await answer
                return rows
        except TimeoutError:
            reason = "" if self._connecting and self._connecting.done() else f" ({self._trouble})"
            raise Unavailable(f"cassandra: no answer in {self._deadline_s} s{reason}") from None
        finally:
            self._waiting -= 1
            if entered:
                self._places.release()

    def _hand_over(self, connected: _Connected, bind: Any, profile: Any, answer: asyncio.Future[Any]) -> None:
        loop = asyncio.get_running_loop()

        def done(rows: Any, error: BaseException | None) -> None:
            self._places.release()
            if answer.done():
                return
            if error is None:
                answer.set_result(rows or [])
            else:
                answer.set_exception(Unavailable(f"cassandra: {_told(error)}"))

        def from_driver(rows: Any, error: BaseException | None = None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(done, rows, error)

        try:
            future = connected.session.execute_async(bind(connected.prepared), execution_profile=profile)
        except (DriverException, NoHostAvailable, ConnectionError) as error:
            loop.call_soon(done, None, error)
        else:
            future.add_callbacks(from_driver, lambda error: from_driver(None, error))

    async def _connection(self) -> _Connected:
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name="cassandra connect")
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Connected:
        """Try until it works. What stands in the way is told by the calls that wait meanwhile, and logged once."""
        while True:
            try:
                return await asyncio.to_thread(self._open)
            except Unavailable as error:
                trouble = str(error)
            except (DriverException, NoHostAvailable, OSError) as error:
                trouble = _told(error)
            if trouble != self._trouble:
                log.warning("not connected: %s", trouble)
            self._trouble = trouble
            await asyncio.sleep(CONNECT_AGAIN_S)

    def _open(self) -> _Connected:
        """On a thread: a session on the keyspace, with everything prepared."""
        cluster: Cluster = make_cluster(self._dialed, local_dc=self._local_dc, deadline_s=self._deadline_s)
        try:
            session = cluster.connect()
            ensure_schema(session, self._binding, deadline=time.monotonic() + SCHEMA_DEADLINE_S)
            session.set_keyspace(self._binding.keyspace)
            prepared = {name: session.prepare(query) for name, query in self._statements.items()}
            for statement in prepared.values():
                statement.is_idempotent = True
            if self._closed:
                raise Unavailable("closed")
        except BaseException:
            cluster.shutdown()
            raise
        return _Connected(session, prepared)


def _told(error: BaseException) -> str:
    """The driver's error in one line."""
    if isinstance(error, NoHostAvailable) and error.errors:
        told = "; ".join(f"{host}: {reason}" for host, reason in error.errors.items())
        return f"no node can be asked ({told})"[:500]
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:500]
