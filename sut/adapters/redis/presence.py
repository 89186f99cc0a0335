"""Presence on Redis with Sentinel: an entry for each gateway incarnation that has the user.

Keys
    presence:{bucket}   hash of BUCKET users: user % BUCKET -> packed entries (presence_entries.lua says how)

An entry older than the time to live does not count, so a gateway that dies takes its users with it. The time is the
server's, so gateways' clocks need not agree. Two gateways that hold the same user do not change each other's entry.
Entries of dead incarnations are removed after a day, and a user about a week after the last report.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from sut.adapters.redis.master import RedisMaster
from sut.adapters.redis.script import Script, parts, place

KEPT_S: Final = 7 * 86_400

HERE: Final = Script("presence_entries.lua", "presence_here.lua")
GONE: Final = Script("presence_entries.lua", "presence_gone.lua")
LOOK: Final = Script("presence_entries.lua", "presence_look.lua")
_INCARNATION: Final = struct.Struct("!Q")
_ONLINE: Final = 1 << 48
"""The bit of presence_look.lua that says online."""
MAX_AT_ONCE: Final = 4
"""The number of script calls of one look that run at once."""


class RedisPresence:
    """Presence on the present master. Belongs to one event loop; connects at the first call.

    Each method raises Unavailable within about `deadline_s`, and at once while Redis is known to be away.
    """

    def __init__(self, master: RedisMaster, *, ttl_s: float) -> None:
        """`ttl_s`: how long a report on a user counts; the same in the whole system. `close` closes `master`."""
        self._master = master
        self._ttl_ms = round(ttl_s * 1000)

    @property
    def generation(self) -> int:
        """Rises with each connection to a master after a failure or a failover."""
        return self._master.generation

    async def here(self, node: str, incarnation: int, users: Sequence[int]) -> None:
        """Record that these users are connected to this gateway incarnation."""
        await self._note(HERE, node, incarnation, users)

    async def gone(self, node: str, incarnation: int, users: Sequence[int]) -> None:
        """Record that these users have left. A user whom this incarnation never had is left unchanged."""
        await self._note(GONE, node, incarnation, users)

    async def look(self, users: Sequence[int]) -> Mapping[int, tuple[bool, int]]:
        """Return user -> (online, last seen in Unix ms; 0: not known)."""
        found: dict[int, tuple[bool, int]] = {}
        pieces = parts(users)
        for start in range(0, len(pieces), MAX_AT_ONCE):
            some = pieces[start : start + MAX_AT_ONCE]
            for part, answer in zip(some, await asyncio.gather(*map(self._look, some)), strict=True):
                states = struct.unpack(f"!{len(part)}Q", answer)
                found |= {user: state_of(state) for user, state in zip(part, states, strict=True)}
        return found

    async def close(self) -> None:
        """Release the connections to Redis."""
        await self._master.close()

    async def _look(self, users: Sequence[int]) -> Any:
        keys, fields = _places(users)
        return await self._master.call(lambda client: LOOK.run(client, keys, [self._ttl_ms, *fields]))

    async def _note(self, script: Script, node: str, incarnation: int, users: Sequence[int]) -> None:
        gateway = packed_gateway(node, incarnation)
        for part in parts(users):
            keys, fields = _places(part)
            await self._master.call(partial(script.run, keys=keys, arguments=[gateway, KEPT_S, *fields]))


def packed_gateway(node: str, incarnation: int) -> bytes:
    """Return a gateway incarnation as the scripts know it."""
    return _INCARNATION.pack(incarnation) + node.encode()


def state_of(state: int) -> tuple[bool, int]:
    """Return what presence_look.lua answers about one user: (online, last seen in Unix ms; 0: not known)."""
    return state >= _ONLINE, state % _ONLINE


def _places(users: Sequence[int]) -> tuple[list[str], list[int]]:
    places = [place("presence", user) for user in users]
    return [key for key, _ in places], [field for _, field in places]
