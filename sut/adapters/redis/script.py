"""Lua scripts on Redis, sent by their hash. One call handles some hundreds of keys in one round trip."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final, TypeVar

from redis.exceptions import NoScriptError

from sut.adapters.redis.client import Command, RedisClient

MAX_BATCH: Final = 500
"""The number of entries in one script call, which Redis runs in about a millisecond. More take several round trips."""

BUCKET: Final = 64
"""The number of users who share a hash. Redis keeps a hash of few, short fields as one compact list: COMPACT of
sut/deploy/servers/redis.py bounds them. A user in it costs little more than the value; a key costs 200 bytes."""

T = TypeVar("T")


class Script:
    """Lua files of this folder as one script, sent by its hash, and in full to a server that does not know it."""

    def __init__(self, *names: str) -> None:
        folder = files("sut.adapters.redis")
        self._text = "\n".join(folder.joinpath(name).read_text() for name in names)
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    def command(self, keys: Sequence[str], arguments: Command, *, full: bool = False) -> Command:
        """Return the command that runs the script, by its hash or `full`."""
        verb, which = ("EVAL", self._text) if full else ("EVALSHA", self._sha)
        return verb, which, len(keys), *keys, *arguments

    async def run(self, client: RedisClient, keys: Sequence[str], arguments: Sequence[bytes | str | int]) -> Any:
        """Run the script. Returns integers, bytes, None and lists of them."""
        try:
            return await client.ask(*self.command(keys, arguments))
        except NoScriptError:
            return await client.ask(*self.command(keys, arguments, full=True))


def parts(items: Sequence[T]) -> list[Sequence[T]]:
    """Split the items into parts of MAX_BATCH."""
    return [items[start : start + MAX_BATCH] for start in range(0, len(items), MAX_BATCH)]


def place(kind: str, user: int) -> tuple[str, int]:
    """Return the key of the hash that has the user, and the user's field in it."""
    return f"{kind}:{user // BUCKET}", user % BUCKET
