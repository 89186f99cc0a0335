"""Deletes messages older than the system keeps them, where it keeps them for a time: now and then, in small steps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from sut.ports import MessageStore, Unavailable

FIRST_S: Final = 60.0
EVERY_S: Final = 3600.0
STEP_S: Final = 0.2
"""Between two steps of one partition: writes have the store to themselves for most of the time."""
DAY_S: Final = 86_400.0

log = logging.getLogger("retention")


async def keep_for(
    days: float,
    store: MessageStore,
    partitions: Iterable[int],
    *,
    first_s: float = FIRST_S,
    every_s: float = EVERY_S,
    step_s: float = STEP_S,
) -> None:
    """Delete what is older than so many days from these partitions, for ever; nothing where `days` is 0."""
    if days <= 0:
        return
    owned = list(partitions)
    await asyncio.sleep(first_s)
    while True:
        for partition in owned:
            try:
                while await store.expire(partition, days * DAY_S):  # noqa: ASYNC110 (steps)
                    await asyncio.sleep(step_s)
            except Unavailable as error:
                log.warning("partition %d: %s", partition, error)
        await asyncio.sleep(every_s)
