"""A time limit for answers of others that does not count the time that this process itself was stalled.

A process that did not run for half a second (busy machine, long collection, SIGSTOP) finds all its timers due and its
answers unread. To give up then would drop healthy connections just when there is no time to make new ones.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

_TICKS: Final = 4


@contextlib.asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Works like asyncio.timeout, but a stall of the event loop counts as a quarter of `seconds` at most.

    Raises TimeoutError. The time runs in four ticks, each set when the one before was handled; what arrived during a
    stall is handled before the next.
    """
    loop = asyncio.get_running_loop()
    left = _TICKS
    timer: asyncio.TimerHandle

    def tick() -> None:
        nonlocal left, timer
        left -= 1
        if left:
            timer = loop.call_later(seconds / _TICKS, tick)
        elif not limit.expired():
            limit.reschedule(loop.time())

    async with asyncio.timeout(None) as limit:
        timer = loop.call_later(seconds / _TICKS, tick)
        try:
            yield limit
        finally:
            timer.cancel()
