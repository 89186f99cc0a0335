"""The list of revoked devices in a Redis Cluster: as in sut/adapters/redis/revocations.py, all of it in one slot.

Every process asks for changes once a second, so one master answers all of them: a GET each, where nothing is new.
"""

from __future__ import annotations

from typing import Any, Final

from sut.adapters.redis.client import Command
from sut.adapters.redis.cluster.shards import Shards, scripted
from sut.adapters.redis.revocations import KEYS, MAX_REVOKED, RedisRevocations
from sut.adapters.redis.script import Script

_KEYS: Final = tuple(f"{{revoked}}:{key}" for key in KEYS)


class ClusterRevocations(RedisRevocations):
    """The list on the connections of a registry, which remains their owner."""

    def __init__(self, shards: Shards, *, most: int = MAX_REVOKED) -> None:
        self._shards = shards
        self._most = most

    @property
    def generation(self) -> int:
        """Rises when a replica took the place of a master, or one was restarted."""
        return self._shards.generation

    async def _run(self, script: Script, arguments: Command) -> Any:
        (answer,) = await self._shards.run([scripted(script, _KEYS, arguments)])
        return answer
