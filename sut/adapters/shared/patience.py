"""A time limit for answers of others that does not count the time that this process itself was stalled.

A process that did not run for half a second (busy machine, long collection, SIGSTOP) finds all its timers due and its
answers unread. To give up then would drop healthy connections just when there is no time to make new ones. The others
on a busy machine wait for it as well, so the limit grows with the own lateness (sut/process/lateness.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from sut.process.lateness import slack_s

_TICKS: Final = 4


@contextlib.asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Works like asyncio.timeout, but a stall of the event loop counts as a quarter of `seconds` at most.

    Raises TimeoutError. The time runs in four ticks, each set when the one before was handled; what arrived during a
    stall is handled before the next. On a loop that is late again and again, up to MAX_SLACK_S is added.
    """
    loop = asyncio.get_running_loop()
    left = _TICKS
    timer: asyncio.TimerHandle

    def tick() -> None:
        nonlocal left, timer
        left -= 1
        if left:
            timer = loop.call_later((seconds + slack_s()) / _TICKS, tick)
        elif not limit.expired():
            limit.reschedule(loop.time())

    async with asyncio.timeout(None) as limit:
        timer = loop.call_later((seconds + slack_s()) / _TICKS, tick)
        try:
            yield limit
        finally:
            timer.cancel()
