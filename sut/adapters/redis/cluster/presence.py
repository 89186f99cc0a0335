"""Presence on a Redis Cluster: as in sut/adapters/redis/presence.py, with each bucket in the slot of its tag."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from sut.adapters.redis.cluster.shards import MAX_USERS, Call, Shards, by_slot, place, scripted
from sut.adapters.redis.presence import GONE, HERE, KEPT_S, LOOK, packed_gateway, state_of
from sut.adapters.redis.script import Script


class ClusterPresence:
    """Presence on the masters of a cluster. Belongs to one event loop; connects at the first call.

    Each method raises Unavailable within about `deadline_s`, and at once while a master that it needs is known to be
    away. Then it may be done in part.
    """

    def __init__(self, shards: Shards, *, ttl_s: float) -> None:
        """`ttl_s`: how long a report on a user counts; the same in the whole system. `close` closes `shards`."""
        self._shards = shards
        self._ttl_ms = round(ttl_s * 1000)

    @property
    def generation(self) -> int:
        """Rises when a replica took the place of a master, or one was restarted."""
        return self._shards.generation

    async def here(self, node: str, incarnation: int, users: Sequence[int]) -> None:
        """Record that these users are connected to this gateway incarnation."""
        await self._note(HERE, node, incarnation, users)

    async def gone(self, node: str, incarnation: int, users: Sequence[int]) -> None:
        """Record that these users have left. A user whom this incarnation never had is left unchanged."""
        await self._note(GONE, node, incarnation, users)

    async def look(self, users: Sequence[int]) -> Mapping[int, tuple[bool, int]]:
        """Return user -> (online, last seen in Unix ms; 0: not known)."""
        found: dict[int, tuple[bool, int]] = {}
        for start in range(0, len(users), MAX_USERS):
            some = users[start : start + MAX_USERS]
            groups = by_slot(some)
            answers = await self._shards.run(
                [_call(LOOK, [some[at] for at in group], self._ttl_ms) for group in groups]
            )
            for group, answer in zip(groups, answers, strict=True):
                states = struct.unpack(f"!{len(group)}Q", answer)
                found |= {some[at]: state_of(state) for at, state in zip(group, states, strict=True)}
        return found

    async def close(self) -> None:
        """Release the connections to Redis."""
        await self._shards.close()

    async def _note(self, script: Script, node: str, incarnation: int, users: Sequence[int]) -> None:
        gateway = packed_gateway(node, incarnation)
        for start in range(0, len(users), MAX_USERS):
            some = users[start : start + MAX_USERS]
            await self._shards.run(
                [_call(script, [some[at] for at in group], gateway, KEPT_S) for group in by_slot(some)]
            )


def _call(script: Script, users: Sequence[int], *first: bytes | int) -> Call:
    places = [place("presence", user) for user in users]
    return scripted(script, [key for key, _ in places], [*first, *(field for _, field in places)])
