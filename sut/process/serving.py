"""The life of every service process: listen for peers, dial others, work until told to stop, close everything."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any

from sut.deploy.topology import Service
from sut.process.peer import PeerConnection, PeerLink, PeerServer
from sut.protocol.peer import PeerFrame


@contextlib.asynccontextmanager
async def peers(
    service: Service, server: PeerServer, links: Mapping[str, PeerLink], *closings: Callable[[], Awaitable[None]]
) -> AsyncIterator[None]:
    """Serve the "peer" port and keep `links` up inside the block; then close both and call each of `closings`.

    An error in one of `closings` does not keep the others from being called. Raises PortInUse.
    """
    await server.start(service.host, service.ports["peer"])
    for link in links.values():
        link.start()
    try:
        yield
    finally:
        await server.close()
        for link in links.values():
            await link.close()
        for closing in closings:
            with contextlib.suppress(Exception):
                await closing()


async def work_until(stop: asyncio.Event, works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run `works` at the same time until `stop` is set, then cancel them. An error in one of them ends all."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        await stop.wait()
        for task in tasks:
            task.cancel()


def refuse(connection: PeerConnection, _correlation: int, _frame: PeerFrame) -> None:
    """Cut a peer that sends frames to a process that expects none (`PeerServer.on_frame`)."""
    connection.abort()
