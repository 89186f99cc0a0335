"""Everything that a Redis node holds, as bytes: for checks that something is absent. Blocking, read-only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

from sut.ports import Unavailable

__all__ = ["Unavailable", "dump"]

Address = tuple[str, int]
_AT_ONCE: Final = 500
_READ: Final[dict[bytes, tuple[object, ...]]] = {
    b"string": ("GET",), b"hash": ("HGETALL",), b"set": ("SMEMBERS",), b"list": ("LRANGE", 0, -1),
    b"zset": ("ZRANGE", 0, -1), b"stream": ("XRANGE", "-", "+"),
}  # fmt: skip


def dump(address: Address, timeout_s: float) -> Iterator[tuple[bytes, bytes]]:
    """Yield each key with its content, joined by zero bytes; leaves out what expires meanwhile. Raises Unavailable."""
    client = Redis(
        host=address[0], port=address[1], protocol=2, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
    )
    client.response_callbacks.clear()
    ask: Callable[..., Any] = client.execute_command
    try:
        cursor = b"0"
        while True:
            cursor, keys = ask("SCAN", cursor, "COUNT", _AT_ONCE)
            for key in keys:
                command, *arguments = _READ.get(ask("TYPE", key), ("DUMP",))
                yield key, b"\0".join(_flat(ask(command, key, *arguments)))
            if cursor == b"0":
                return
    except (RedisError, OSError, ValueError, TypeError) as error:
        raise Unavailable(f"redis at {address[0]}:{address[1]}: {error}") from None
    finally:
        client.close()


def _flat(answer: Any) -> Iterator[bytes]:
    if isinstance(answer, bytes):
        yield answer
    elif isinstance(answer, list):
        for part in answer:
            yield from _flat(part)
    elif answer is not None:
        yield str(answer).encode()
