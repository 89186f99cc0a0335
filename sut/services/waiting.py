"""How the services wait: for a backend that is away, and for the next batch of a queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from sut.ports import Unavailable

RETRY_S: Final = 0.2

T = TypeVar("T")
log = logging.getLogger("waiting")


async def until_available(action: Callable[[], Awaitable[T]], who: str) -> T:
    """Repeat an idempotent action until the backend answers. `who`: the caller, for the log."""
    while True:
        try:
            return await action()
        except Unavailable as error:
            log.warning("%s waits: %s", who, error)
            await asyncio.sleep(RETRY_S)


async def next_batch(queue: asyncio.Queue[T], most: int) -> list[T]:
    """Wait for an item. Return it with those that are queued behind it, at most `most` in all."""
    batch = [await queue.get()]
    while len(batch) < most and not queue.empty():
        batch.append(queue.get_nowait())
    return batch
