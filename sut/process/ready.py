"""Reports when a process has reached its backends. Until then the starter of the system sends it no users.

Clients of Kafka and Cassandra take a second or more to connect and to prepare. The starter of a system waits for
`ready` in the answers to pings (sut/deploy/probes/health.py), so that the first user does not have to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sut.ports import Unavailable

AGAIN_S: Final = 0.1


class Ready:
    """Reports ready = 0 until `reach` has returned, then 1."""

    def __init__(self) -> None:
        self._ready = False

    def stats(self) -> dict[str, float]:
        return {"ready": float(self._ready)}

    async def reach(self, *looks: Callable[[], Awaitable[Any]]) -> None:
        """Call each of `looks` until it does not raise Unavailable."""
        for look in looks:
            while True:
                try:
                    await look()
                except Unavailable:
                    await asyncio.sleep(AGAIN_S)
                else:
                    break
        self._ready = True
