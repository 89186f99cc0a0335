"""The list of revoked devices on Redis, beside the registry and over its connections.

Keys
    revoked:order   sorted set: "user:device" by the number of the change that put it there
    revoked:data    hash: "user:device" -> second of the revocation and second from which it may be forgotten, u64 each
    revoked:last    the last change number

Every process asks once a second for the changes after the one it knows. Without changes that costs Redis one GET.
Beyond MAX_REVOKED only revocations of registered devices are added. Expired entries are removed, oldest first, as new
ones come in.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from typing import Any, Final

from sut.adapters.redis.client import Command
from sut.adapters.redis.master import RedisMaster
from sut.adapters.redis.script import Script
from sut.ports import Revocation, RevocationPage, Unavailable

MAX_REVOKED: Final = 100_000
"""About 15 MB in Redis, and as much in each gateway. Beyond it only revocations of registered devices are added.

There are no more of those than the operator has registered devices.
"""
_NO_LIMIT: Final = (1 << 53) - 1
"""The largest integer that a number in Redis's Lua holds exactly."""
PAGE: Final = 1000
KEYS: Final = ("revoked:order", "revoked:data", "revoked:last")
_DATA: Final = struct.Struct("!QQ")

log = logging.getLogger("revoked")
_REVOKE: Final = Script("revoke.lua")
_SINCE: Final = Script("revoked_since.lua")


class RedisRevocations:
    """The list on the connections of a registry, which remains their owner."""

    def __init__(self, master: RedisMaster, *, most: int = MAX_REVOKED) -> None:
        self._master = master
        self._most = most

    @property
    def generation(self) -> int:
        """Rises with each connection to a master after a failure or a failover."""
        return self._master.generation

    async def revoke(self, revocations: Sequence[Revocation], *, now_s: int, always: bool = False) -> None:
        """Add these revocations. Raises Unavailable, also when the list is full, unless `always`."""
        arguments: list[bytes | str | int] = [now_s, _NO_LIMIT if always else self._most]
        for one in revocations:
            arguments += (f"{one.user}:{one.device}", _DATA.pack(one.at_s, one.until_s))
        refused = await self._run(_REVOKE, arguments)
        if refused:
            raise Unavailable(f"redis: {self._most} devices are revoked already; {refused} did not fit")

    async def since(self, position: int) -> RevocationPage:
        """Return the entries after this position. Raises Unavailable."""
        answer = await self._run(_SINCE, [position, PAGE])
        found = [_unpacked(member, data) for member, data in zip(answer[2::2], answer[3::2], strict=True) if data]
        return RevocationPage(answer[0], bool(answer[1]), tuple(one for one in found if one is not None))

    async def _run(self, script: Script, arguments: Command) -> Any:
        return await self._master.call(lambda client: script.run(client, KEYS, arguments))


def _unpacked(member: bytes, data: bytes) -> Revocation | None:
    """Return None, and log it, for an entry that this system did not write: the others of the list still hold."""
    user, _, device = member.partition(b":")
    try:
        at_s, until_s = _DATA.unpack(data)
        return Revocation(int(user), int(device), at_s, until_s)
    except (ValueError, struct.error):
        log.warning("revoked:order has %r with %d bytes, which is no revocation: ZREM it", member, len(data))
        return None
