"""Counters in Redis by INCR. Only the known-bad variant redis_incr uses them.

Asynchronous replication makes such a counter repeat itself after a failover: that is the point of the variant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sut.adapters.backends import open_master

if TYPE_CHECKING:
    from sut.deploy.topology import Topology


class RedisCounter:
    """One counter a conversation, as seen from one service."""

    def __init__(self, topology: Topology, node: str) -> None:
        self._master = open_master(topology, node)

    async def increment(self, conv: int) -> int:
        """The next number of this conversation. Raises Unavailable: the counter may or may not have moved."""
        return int(await self._master.call(lambda client: client.ask("INCR", f"seq:{conv}")))

    async def close(self) -> None:
        """Release connections."""
        await self._master.close()
