"""Counters in Redis by INCR. Only known-bad variants use them.

Asynchronous replication makes such a counter repeat numbers after a failover: redis_incr shows that. A counter that
waits for the replica does not repeat, but costs a second round trip: global_counter shows that.
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
    """A counter for each conversation, as one service uses it."""

    def __init__(self, topology: Topology, node: str) -> None:
        self._master = Backends(topology, node).master()

    async def increment(self, conv: int) -> int:
        """Return the next number of the conversation. Raises Unavailable: the counter may or may not have moved."""
        return int(await self._master.call(lambda client: client.ask("INCR", f"seq:{conv}")))

    async def ticket(self, name: str) -> int:
        """Return the next number of a counter once a replica has it too. Raises Unavailable: it may have moved.

        One call at a time: WAIT covers only what its own connection has written.
        """

        async def take(client: RedisClient) -> tuple[int, int]:
            ticket = int(await client.ask("INCR", f"ticket:{name}"))
            return ticket, int(await client.ask("WAIT", 1, REPLICATED_BY_MS))

        ticket, replicas = await self._master.call(take)
        if not replicas:
            raise Unavailable(f"redis: no replica has ticket {ticket}")
        return ticket

    async def close(self) -> None:
        """Release the connection to Redis."""
        await self._master.close()
