"""Counters in Redis by INCR. Only known-bad variants use them.

Asynchronous replication makes such a counter repeat itself after a failover: that is the point of redis_incr. One that
waits for the replica does not, and costs a second round trip: that is the point of global_counter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sut.adapters.backends import Backends
from sut.adapters.redis.client import RedisClient
from sut.ports import Unavailable

if TYPE_CHECKING:
    from sut.deploy.topology import Topology

REPLICATED_BY_MS: Final = 200


class RedisCounter:
    """One counter a conversation, as seen from one service."""

    def __init__(self, topology: Topology, node: str) -> None:
        self._master = Backends(topology, node).master()

    async def increment(self, conv: int) -> int:
        """The next number of this conversation. Raises Unavailable: the counter may or may not have moved."""
        return int(await self._master.call(lambda client: client.ask("INCR", f"seq:{conv}")))

    async def ticket(self, name: str) -> int:
        """The next of a counter, which a replica has too on return. Raises Unavailable: it may have moved.

        One call at a time: WAIT tells of what its own connection has written.
        """

        async def take(client: RedisClient) -> tuple[int, int]:
            ticket = int(await client.ask("INCR", f"ticket:{name}"))
            return ticket, int(await client.ask("WAIT", 1, REPLICATED_BY_MS))

        ticket, replicas = await self._master.call(take)
        if not replicas:
            raise Unavailable(f"redis: no replica has ticket {ticket}")
        return ticket

    async def close(self) -> None:
        """Release connections."""
        await self._master.close()
