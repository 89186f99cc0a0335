"""Connections to one Redis server for the services: no retries, no parsing of answers, no time limits of redis-py.

redis-py retries and reconnects by itself unless told not to. Here the caller decides (master.py): a new connection may
lead to a server that was restarted empty, or is no master any more.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from sut.adapters.shared.patience import patience

Address = tuple[str, int]
Greeting = Callable[[AbstractConnection], Awaitable[None]]
"""Runs on each new connection before it is used; a RedisError closes it."""

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
"""The kernel then drops a connection whose packets are lost within seconds, also one that is being closed."""


class RedisClient:
    """A client of one server. Opens nothing before the first command; belongs to one event loop."""

    def __init__(
        self, address: Address, *, deadline_s: float, max_connections: int = 2, greeting: Greeting | None = None
    ) -> None:
        """A command that finds all connections in use waits for one.

        `deadline_s` bounds close(). Commands have no time limit: their caller sets one. redis-py's own limits are not
        used: they rest on asyncio.wait_for, which before Python 3.12 can lose a cancellation.
        """
        options: dict[str, Any] = {} if greeting is None else {"redis_connect_func": greeting}
        pool = BlockingConnectionPool(
            host=address[0],
            port=address[1],
            protocol=2,
            max_connections=max_connections,
            timeout=None,
            socket_timeout=None,
            socket_connect_timeout=None,
            socket_keepalive=True,
            socket_keepalive_options=_KEEPALIVE,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            **options,
        )
        self._deadline_s = deadline_s
        self._redis = Redis.from_pool(pool)
        self._redis.response_callbacks.clear()
        self._execute: Callable[..., Awaitable[Any]] = self._redis.execute_command

    async def ask(self, *command: bytes | str | int) -> Any:
        """Return the unparsed answer: integers, bytes, None, lists. Raises RedisError, OSError."""
        return await self._execute(*command)

    async def close(self) -> None:
        """Close all connections, those in use too. Raises nothing."""
        with contextlib.suppress(RedisError, OSError):  # TimeoutError is an OSError
            async with patience(self._deadline_s):
                await self._redis.aclose()
