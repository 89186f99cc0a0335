"""Opens a session with every statement prepared; tries again until it works.

A process may start before its store. Connecting, making or awaiting the tables, and preparing all block, so they run
on a thread. `trouble` tells waiting callers what failed last. Only a keyspace of another log ends the attempts: it
will not become ours by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from cassandra.cluster import Cluster, NoHostAvailable, Session
from cassandra.query import PreparedStatement

from sut.adapters.cassandra.policies import Address, make_cluster
from sut.adapters.cassandra.schema import Binding, WrongKeyspace, ensure_schema
from sut.deploy.logins import Login
from sut.ports import Unavailable

SCHEMA_DEADLINE_S: Final = 60.0
CONNECT_AGAIN_S: Final = 0.5
PREPARED_AT_ONCE: Final = 8
"""Statements prepared at once. One by one took 5 s on busy nodes, and a sequencer's conversations waited."""

log = logging.getLogger("cassandra_store")


class Opened(NamedTuple):
    """A session and its prepared statements by name."""

    session: Session
    prepared: Mapping[str, PreparedStatement]


class Home(NamedTuple):
    """Where a store is: the nodes, the keyspace, and what lets a client in."""

    dialed: Mapping[Address, Address]
    """Each node's own (rpc address, port) -> where to dial it."""
    binding: Binding
    login: Login | None = None
    """None where the nodes ask nobody."""


class Opening:
    """One session: being opened, then open, then closed. Belongs to one event loop."""

    def __init__(self, home: Home, statements: Mapping[str, str], *, deadline_s: float) -> None:
        """The first call of `opened` starts the attempts; `deadline_s` is that of the session's requests.

        `statements`: CQL by name.
        """
        self._home = home
        self._statements = statements
        self.deadline_s = deadline_s
        self.trouble = "not connected yet"
        """Why there is no session; "" when there is one."""
        self._opened: asyncio.Future[Opened] | None = None
        self._trying: asyncio.Task[None] | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._cluster: Cluster | None = None

    async def opened(self) -> Opened:
        """Return the session, as soon as there is one. Raises Unavailable when closed, WrongKeyspace."""
        if self._closing.is_set():
            raise Unavailable("cassandra: closed")
        if self._opened is None:
            self._opened = asyncio.get_running_loop().create_future()
            self._opened.add_done_callback(_retrieved)
            self._trying = asyncio.create_task(self._try(self._opened), name="cassandra opening")
        return await asyncio.shield(self._opened)

    async def close(self) -> None:
        """Close the session, within the deadline; callers of `opened` get Unavailable. May be called again.

        An attempt in progress ends by itself, on its thread, in about a second.
        """
        with self._lock:
            self._closing.set()
            cluster, self._cluster = self._cluster, None
        if self._trying is not None:
            self._trying.cancel()
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(Unavailable("cassandra: closed"))
        if cluster is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.deadline_s):
                    await asyncio.to_thread(cluster.shutdown)

    async def _try(self, opened: asyncio.Future[Opened]) -> None:
        while True:
            try:
                opened.set_result(await asyncio.to_thread(self._open))
            except WrongKeyspace as error:
                log.error("%s", error)
                opened.set_exception(error)
            except Exception as error:  # noqa: BLE001 (the driver raises many kinds; all of them are tried again)
                trouble = str(error) if isinstance(error, Unavailable) else told(error)
                if trouble != self.trouble:
                    log.warning("not connected: %s", trouble)
                self.trouble = trouble
                await asyncio.sleep(CONNECT_AGAIN_S)
                continue
            self.trouble = ""
            return

    def _open(self) -> Opened:
        """Open a session and prepare all statements; runs on a thread."""
        dialed, binding, login = self._home
        cluster = make_cluster(dialed, deadline_s=self.deadline_s, login=login)
        try:
            session = cluster.connect()
            session.default_fetch_size = None  # whole answers: every SELECT has a bound
            ensure_schema(session, binding, deadline=time.monotonic() + SCHEMA_DEADLINE_S, closing=self._closing)
            with ThreadPoolExecutor(PREPARED_AT_ONCE) as pool:
                prepared = dict(
                    zip(self._statements, pool.map(session.prepare, self._statements.values()), strict=True)
                )
            for statement in prepared.values():
                statement.is_idempotent = True
            with self._lock:
                if self._closing.is_set():
                    raise Unavailable("closed")
                self._cluster = cluster
        except BaseException:
            cluster.shutdown()
            raise
        return Opened(session, prepared)


def _retrieved(opened: asyncio.Future[Opened]) -> None:
    """Fetch the exception, so that asyncio does not complain when nobody waits for it any more."""
    if not opened.cancelled():
        opened.exception()


def told(error: BaseException) -> str:
    """Return the driver's error in one line of at most 500 characters."""
    if isinstance(error, NoHostAvailable) and error.errors:
        reasons = "; ".join(f"{host}: {reason}" for host, reason in error.errors.items())
        return f"no node can be asked ({reasons})"[:500]
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:500]
