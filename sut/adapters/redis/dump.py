"""Returns everything that a Redis node holds, as bytes, for checks that something is absent. Blocking, read-only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from redis.exceptions import ResponseError

from sut.adapters.redis.client import Address, asking
from sut.deploy.logins import Login
from sut.ports import Unavailable

__all__ = ["Unavailable", "dump"]

_AT_ONCE: Final = 500
_READ: Final[dict[bytes, tuple[object, ...]]] = {
    b"string": ("GET",), b"hash": ("HGETALL",), b"set": ("SMEMBERS",), b"list": ("LRANGE", 0, -1),
    b"zset": ("ZRANGE", 0, -1), b"stream": ("XRANGE", "-", "+"),
}  # fmt: skip


def dump(address: Address, timeout_s: float, login: Login | None = None) -> Iterator[tuple[bytes, bytes]]:
    """Yield each key with its whole value, parts joined by zero bytes. A key that expires meanwhile is left out.

    `timeout_s`: for each answer, in seconds. Raises Unavailable.
    """
    with asking(address, timeout_s, login=login, each=True, decode=False) as ask:
        with contextlib.suppress(ResponseError):  # a replica in a cluster sends readers to its master otherwise
            ask("READONLY")
        cursor = b"0"
        while True:
            cursor, keys = ask("SCAN", cursor, "COUNT", _AT_ONCE)
            for key in keys:
                command, *arguments = _READ.get(ask("TYPE", key), ("DUMP",))
                yield key, b"\0".join(_flat(ask(command, key, *arguments)))
            if cursor == b"0":
                return


def _flat(answer: Any) -> Iterator[bytes]:
    if isinstance(answer, bytes):
        yield answer
    elif isinstance(answer, list):
        for part in answer:
            yield from _flat(part)
    elif answer is not None:
        yield str(answer).encode()
