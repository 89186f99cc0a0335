"""Deletes messages older than the system's retention period, if it has one: at intervals, in small steps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from sut.ports import MessageStore, Unavailable

FIRST_S: Final = 60.0
EVERY_S: Final = 3600.0
STEP_S: Final = 0.2
"""Wait between two steps of one partition, so that writes have the store to themselves most of the time."""
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
    """Delete messages older than `days` from these partitions, for ever. Returns at once if `days` is 0."""
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
