"""Cassandra from an event loop: bounded, each request with a deadline, results handed over to the loop.

The driver has its own threads (libev where it is compiled in). It takes a request without waiting. Its callback runs on
the driver's thread and returns with call_soon_threadsafe, which uvloop has too. opening.py connects: a call that comes
before it succeeded waits, within its deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cassandra import ConsistencyLevel, DriverException
from cassandra.cluster import EXEC_PROFILE_DEFAULT, NoHostAvailable
from cassandra.query import BatchStatement, BatchType, PreparedStatement

from sut.adapters.cassandra.opening import Home, Opened, Opening, told
from sut.adapters.cassandra.policies import WRITES
from sut.adapters.cassandra.rows import Batch
from sut.adapters.shared.patience import patience
from sut.ports import Unavailable

MAX_IN_FLIGHT: Final = 64
"""Requests with the driver. Two cores that also run the nodes serve no more at once; others wait here, in order."""
MAX_WAITING: Final = 5_000
"""Requests in progress, including those that wait for their turn. Beyond it they are refused at once."""

_Rows = list[tuple[Any, ...]]
_Bind = Callable[[Mapping[str, PreparedStatement]], Any]


class CassandraSession:
    """The prepared statements of one keyspace, run within deadlines. Belongs to one event loop."""

    def __init__(self, home: Home, statements: Mapping[str, str], *, deadline_s: float) -> None:
        """Opens nothing before the first request. `statements`: CQL by name. `deadline_s`: of each request."""
        self._opening = Opening(home, statements, deadline_s=deadline_s)
        self._places = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._waiting = 0
        self._answers: set[asyncio.Future[_Rows]] = set()
        self._closed = False

    async def read(self, name: str, parameters: Sequence[Any]) -> _Rows:
        """Return the rows of a SELECT of at most a few thousand. Raises Unavailable."""
        return await self._run(lambda prepared: prepared[name].bind(parameters), EXEC_PROFILE_DEFAULT)

    async def write(self, batch: Batch) -> None:
        """Write to one partition; on return a quorum has it. Raises Unavailable: the outcome is unknown."""

        def bind(prepared: Mapping[str, PreparedStatement]) -> Any:
            if len(batch.statements) == 1:
                name, parameters = batch.statements[0]
                return prepared[name].bind(parameters)
            together = BatchStatement(BatchType.UNLOGGED)
            together.is_idempotent = True
            for name, parameters in batch.statements:
                together.add(prepared[name], parameters)
            return together

        await self._run(bind, WRITES)

    async def conditional(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> bool:
        """Run statements of one partition, one of which has an IF. True: it held, and all of them took effect.

        Sent once: a repeat of a success would be told that the IF failed. Raises Unavailable: the outcome is unknown.
        """

        def bind(prepared: Mapping[str, PreparedStatement]) -> Any:
            bound = [prepared[name].bind(parameters) for name, parameters in statements]
            together = bound[0]
            if len(bound) > 1:
                together = BatchStatement(BatchType.UNLOGGED)
                for statement in bound:
                    together.add(statement)
            together.is_idempotent = False
            together.serial_consistency_level = ConsistencyLevel.LOCAL_SERIAL
            return together

        rows = await self._run(bind, EXEC_PROFILE_DEFAULT)
        return bool(rows and rows[0][0])

    async def close(self) -> None:
        """Close the connections, within the deadline. Requests in progress raise Unavailable at once."""
        self._closed = True
        for answer in tuple(self._answers):
            if not answer.done():
                answer.set_exception(Unavailable("cassandra: closed"))
        for _ in range(self._waiting):
            self._places.release()  # wakes those who wait for one; the driver may never release its own
        await self._opening.close()

    async def _run(self, bind: _Bind, profile: Any) -> _Rows:
        if self._waiting >= MAX_WAITING:
            raise Unavailable(f"cassandra: overloaded, {self._waiting} requests wait")
        self._waiting += 1
        try:
            async with patience(self._opening.deadline_s):
                opened = await self._opening.opened()
                await self._places.acquire()
                # From here on the driver owns the place: it is free when the driver is done, not when we give up.
                return await self._hand_over(opened, bind, profile)
        except TimeoutError:
            trouble = self._opening.trouble
            raise Unavailable(
                f"cassandra: no answer in {self._opening.deadline_s} s{f' ({trouble})' if trouble else ''}"
            ) from None
        finally:
            self._waiting -= 1

    def _hand_over(self, opened: Opened, bind: _Bind, profile: Any) -> asyncio.Future[_Rows]:
        """Pass the request to the driver with the place taken for it. The answer may come late, or never."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Rows] = loop.create_future()
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)
        place_taken = True

        def done(rows: Any, error: BaseException | None) -> None:
            # A request sent to two nodes is called back for each of their answers. The first counts.
            nonlocal place_taken
            if place_taken:
                place_taken = False
                self._places.release()
            if answer.done():
                return
            if error is None:
                answer.set_result(rows or [])
            else:
                answer.set_exception(Unavailable(f"cassandra: {told(error)}"))

        def from_driver(rows: Any, error: BaseException | None = None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(done, rows, error)

        try:
            if self._closed:
                raise DriverException("closed")
            future = opened.session.execute_async(bind(opened.prepared), execution_profile=profile)
            future.add_callbacks(from_driver, lambda error: from_driver(None, error))
        except (DriverException, NoHostAvailable, ConnectionError) as error:
            done(None, error)
        except BaseException:
            self._places.release()
            answer.cancel()
            raise
        return answer
