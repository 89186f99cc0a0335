"""Counters in Redis by INCR. Only the known-bad variant redis_incr uses them.

Asynchronous replication makes such a counter repeat itself after a failover: that is the point of the variant.
Keys: seq:{conv}, an integer, kept for ever.
"""

from __future__ import annotations

from sut.adapters.backends import open_master
from sut.adapters.redis_master import RedisMaster
from sut.deploy.topology import Topology


class RedisCounter:
    """One counter a conversation, on the current master. Belongs to one event loop."""

    def __init__(self, master: RedisMaster) -> None:
        self._master = master

    async def increment(self, conv: int) -> int:
        """The next number of this conversation, 1 at first. Raises Unavailable; the counter may then have moved."""
        return int(await self._master.call(lambda client: client.ask("INCR", f"seq:{conv}")))

    async def close(self) -> None:
        """Release connections."""
        await self._master.close()


def open_counter(topology: Topology, node: str) -> RedisCounter:
    """The counters of this system, as seen from a service. Raises SutError."""
    return RedisCounter(open_master(topology, node))
