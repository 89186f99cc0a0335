"""Creates every client of a Redis server: without retries, parsing or waits of its own.

By default redis-py repeats a command (three times with growing waits, even if it must not be repeated). Its defaults
differ between its kinds of client and between its versions. So the settings are here once: for the asynchronous clients
of the services, and for the blocking ones of probes and faults.

The caller decides what is repeated (master.py). A new connection may lead to a server that was restarted empty, or is
not the master any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.connection import Connection as LoopConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, RedisClusterException, RedisError, ResponseError
from redis.retry import Retry as BlockingRetry

from sut.adapters.shared.dial import begin_tls
from sut.adapters.shared.patience import patience
from sut.deploy.logins import Login
from sut.ports import Unavailable

Address = tuple[str, int]
Command = Sequence[bytes | str | int]
Node = ClusterNode
"""A node of a Redis Cluster with its connections; `name` is the address that is dialed."""
Greeting = Callable[[AbstractConnection], Awaitable[None]]
"""Runs on each new connection before it is used; a RedisError closes it."""

_LONE: Final[dict[str, Any]] = {
    "protocol": 2,
    "health_check_interval": 0,  # no extra PING before a command
    "retry_on_timeout": False,
    "driver_info": None,  # no CLIENT SETINFO on each new connection
}
"""The settings of both kinds of client. Retries are set at each of them, because their classes differ."""
CLUSTER_CONNECTIONS: Final = 8
"""Connections to each node of a Redis Cluster. A command waits for one when all of them are in use."""
_UNANSWERED_MS: Final = 2_000
_KEEPALIVE: Final = {
    option: value
    for name, value in (
        ("TCP_KEEPIDLE", 1),
        ("TCP_KEEPINTVL", 1),
        ("TCP_KEEPCNT", 2),
        ("TCP_USER_TIMEOUT", _UNANSWERED_MS),
    )
    if (option := getattr(socket, name, None)) is not None
}
"""With these settings the kernel drops a connection whose packets are lost, also one that is being closed, within
seconds.
"""


class RedisClient:
    """A client of one server. Opens nothing before the first command; belongs to one event loop."""

    def __init__(
        self,
        address: Address,
        *,
        deadline_s: float,
        max_connections: int = 2,
        greeting: Greeting | None = None,
        login: Login | None = None,
    ) -> None:
        """A command waits for a connection when all of them are in use.

        `deadline_s` limits close(). Commands have no time limit: their caller sets one. redis-py's own limits are not
        used: they rely on asyncio.wait_for, which before Python 3.12 can lose a cancellation.
        """
        options: dict[str, Any] = {} if greeting is None else {"redis_connect_func": greeting}
        self._pool = BlockingConnectionPool(
            host=address[0],
            port=address[1],
            max_connections=max_connections,
            timeout=None,
            socket_timeout=None,
            socket_connect_timeout=None,
            socket_keepalive=True,
            socket_keepalive_options=_KEEPALIVE,
            retry=Retry(NoBackoff(), 0),
            **_LONE,
            **_credentials(login),
            **_secured(login, address),
            **options,
        )
        self._deadline_s = deadline_s

    async def ask(self, *command: bytes | str | int) -> Any:
        """Return the unparsed answer: integers, bytes, None, lists. Raises RedisError, OSError.

        hiredis packs the command. redis-py's asynchronous client would do it in Python, argument by argument.
        """
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            packed = pack_command(command)  # type: ignore[arg-type]  # its stub allows one argument
            await connection.send_packed_command(packed, check_health=False)
            return await connection.read_response()
        finally:
            await self._pool.release(connection)

    async def close(self) -> None:
        """Close all connections, also those in use. Raises nothing."""
        with contextlib.suppress(RedisError, OSError):  # TimeoutError is an OSError
            async with patience(self._deadline_s):
                await self._pool.aclose()


class ClusterClient:
    """A client of a Redis Cluster: which master has which slot, and connections to each. Belongs to one event loop.

    The map and the connections are redis-py's. Its `execute_command` and pipelines are not used. They repeat what may
    have happened already, send ASKING over another connection than its command, and dial the address in a MOVED or ASK
    past `address_map` (findings/redis-py-cluster-*.sh). So redirects are returned, and the caller follows them.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        *,
        address_map: Mapping[Address, Address],
        deadline_s: float,
        greeting: Greeting,
        login: Login | None = None,
    ) -> None:
        """`addresses`: where to dial the nodes that are asked first. `deadline_s` and time limits as in RedisClient.

        `address_map`: a node's own address -> where to dial it (a proxy).
        """
        self._address_map = dict(address_map)
        self._deadline_s = deadline_s
        self._cluster = RedisCluster(
            startup_nodes=[ClusterNode(*address) for address in addresses],
            address_remap=self._dialed,
            require_full_coverage=False,  # the other slots work while one has no master
            reinitialize_steps=0,
            max_connections=CLUSTER_CONNECTIONS,
            socket_timeout=None,
            socket_connect_timeout=None,
            socket_keepalive=True,
            socket_keepalive_options=_KEEPALIVE,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
            **_credentials(login),
        )
        self._cluster.connection_kwargs["redis_connect_func"] = greeting  # its constructor does not take one
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(CLUSTER_CONNECTIONS))

    async def refresh(self, *, without: str | None = None) -> None:
        """Ask the nodes which master has which slot, the node `without` last. Raises RedisError, OSError.

        Every connection is opened anew at its next use.
        """
        try:
            await self._cluster.nodes_manager.initialize(last_failed_node_name=without)
        except (RedisClusterException, LookupError) as error:  # neither is a RedisError
            raise RedisError(str(error)) from None

    def masters(self) -> dict[str, Node]:
        """Return the masters, by name."""
        return {node.name: node for node in self._cluster.get_primaries()}

    def master_of(self, key: str) -> Node:
        """Return the master of the key's slot. Raises RedisError if no master is known for it."""
        nodes = self._cluster.nodes_manager.slots_cache.get(slot_of(key))
        if not nodes:
            raise RedisError(f"no master has the slot of {key}")
        return nodes[0]

    async def redirected(self, error: AskError) -> Node:
        """Return the node that a MOVED or ASK names. Remembers what a MOVED says. Raises RedisError, OSError."""
        host, port = self._dialed((error.host, error.port))
        manager = self._cluster.nodes_manager
        if isinstance(error, MovedError) and error.slot_id in manager.slots_cache:
            await manager.move_slot(MovedError(f"{error.slot_id} {host}:{port}"))
        elif manager.get_node(host, port) is None:
            await self.refresh()
        if (node := manager.get_node(host, port)) is None:
            raise RedisError(f"{host}:{port}: not a node of the cluster")
        return node

    async def ask(self, node: Node, commands: Sequence[Command]) -> list[Any]:
        """Send these over one connection; return their unparsed answers, or the ResponseError of each.

        Raises RedisError, OSError: then any of them may have had its effect.
        """
        async with self._turns[node.name]:
            connection = node.acquire_connection()
            try:
                await node.disconnect_if_needed(connection)
                await _connected(connection)
                packed = b"".join(pack_command(tuple(command)) for command in commands)  # type: ignore[arg-type]
                await connection.send_packed_command(packed, check_health=False)
                return [await _answer(connection) for _ in commands]
            except BaseException:  # answers may be left unread
                await connection.disconnect(nowait=True)
                raise
            finally:
                node.release(connection)

    async def close(self) -> None:
        """Close all connections, also those in use. Raises nothing."""
        with contextlib.suppress(RedisError, OSError):  # TimeoutError is an OSError
            async with patience(self._deadline_s):
                for attribute in ("nodes_cache", "startup_nodes"):
                    await self._cluster.nodes_manager.aclose(attribute)

    def _dialed(self, address: Address) -> Address:
        return self._address_map.get((address[0], int(address[1])), (address[0], int(address[1])))


async def _connected(connection: LoopConnection) -> None:
    """Connect, again if the server has closed the connection meanwhile. Raises RedisError, OSError."""
    await connection.connect()  # type: ignore[no-untyped-call]
    try:
        closed = await connection.can_read()
    except (RedisError, OSError):
        closed = True
    if closed:
        await connection.disconnect()
        await connection.connect()  # type: ignore[no-untyped-call]


async def _answer(connection: LoopConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def slot_of(key: str) -> int:
    """Return the slot of a key in a Redis Cluster."""
    return int(key_slot(key.encode()))


@contextlib.contextmanager
def asking(
    address: Address, timeout_s: float, *, login: Login | None = None, each: bool = False, decode: bool = True
) -> Iterator[Callable[..., Any]]:
    """Yield a function that sends a command once and returns its unparsed answer. Blocking, on its own connection.

    `timeout_s`: for the whole block, in seconds; with `each`, for connecting and for each answer. Any failure inside is
    raised as Unavailable; the block may catch a ResponseError itself.
    """
    until_s = time.monotonic() + timeout_s
    context = None if login is None or login.tls is None else login.tls.context(address)
    connection = _Connection(
        tls=context,
        host=address[0],
        port=address[1],
        decode_responses=decode,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=BlockingRetry(NoBackoff(), 0),
        **_LONE,
        **_credentials(login),
    )

    def ask(*command: bytes | str | int) -> Any:
        connection.send_command(*command, check_health=False)  # type: ignore[no-untyped-call]
        left_s = timeout_s if each else until_s - time.monotonic()
        return connection.read_response(timeout=max(0.001, left_s))

    try:
        yield ask
    except (RedisError, OSError, LookupError, TypeError, ValueError) as error:
        raise Unavailable(f"{address[0]}:{address[1]}: {error or type(error).__name__}") from None
    finally:
        connection.disconnect()  # type: ignore[no-untyped-call]


class _Connection(Connection):
    """A blocking connection, by TLS where there is a context. redis-py's own takes no context of ours."""

    def __init__(self, *, tls: ssl.SSLContext | None, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._tls = tls

    def _connect(self) -> socket.socket:
        sock: socket.socket = super()._connect()  # type: ignore[no-untyped-call]
        if self._tls is None:
            return sock
        return begin_tls(sock, self._tls)


class _LoopTls(LoopConnection):
    """A connection of an event loop, by TLS."""

    def __init__(self, *, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self._tls = tls

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "ssl": self._tls}


def _credentials(login: Login | None) -> dict[str, Any]:
    if login is None or not login.password:
        return {}
    return {"username": login.user or None, "password": login.password}


def _secured(login: Login | None, address: Address) -> dict[str, Any]:
    if login is None or login.tls is None:
        return {}
    return {"connection_class": _LoopTls, "tls": login.tls.context(address)}
