"""How the services wait: for a backend, for the next look, for a batch of a queue, and to write what may wait."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

from sut.ports import Unavailable

RETRY_S: Final = 0.2
SAY_S: Final = 1.0
"""Seconds in which the log says once that somebody waits, however many of its calls do."""

K = TypeVar("K")
T = TypeVar("T")
log = logging.getLogger("waiting")
_said_s: dict[str, float] = {}
"""Caller -> when the log last said that it waits."""


async def until_available(action: Callable[[], Awaitable[T]], who: str) -> T:
    """Repeat an idempotent action until the backend answers. `who`: the caller, for the log."""
    while True:
        try:
            return await action()
        except Unavailable as error:
            _say(who, error)
            await asyncio.sleep(RETRY_S)


def _say(who: str, error: Unavailable) -> None:
    now_s = time.monotonic()
    if who not in _said_s or _said_s[who] + SAY_S <= now_s:
        _said_s[who] = now_s
        log.warning("%s waits: %s", who, error)


async def until_tick(period_s: float) -> None:
    """Wait for `period_s` at most, until the time of the loop is a multiple of it.

    All that a process looks at again and again is so looked at together, and an idle process wakes up less often.
    """
    await asyncio.sleep(to_tick_s(asyncio.get_running_loop().time(), period_s))


def to_tick_s(now_s: float, period_s: float) -> float:
    """Return the seconds until the next multiple of the period, in whole ms, as timers have them."""
    period_ms = round(period_s * 1000)
    return (period_ms - round(now_s * 1000) % period_ms) / 1000


async def paced(waiting: dict[K, T], *, tick_s: float, pace_s: float) -> AsyncIterator[dict[K, T]]:
    """Take a share of what waits each tick, so that all of it is taken about once in `pace_s`; for ever.

    Yields what was taken, the oldest first, and nothing while nothing waits.
    """
    tick_s = min(tick_s, pace_s)
    while True:
        await asyncio.sleep(tick_s)
        count = math.ceil(len(waiting) * tick_s / pace_s)
        if taken := {key: waiting.pop(key) for key in list(itertools.islice(waiting, count))}:
            yield taken


async def next_batch(queue: asyncio.Queue[T], most: int) -> list[T]:
    """Wait for an item. Return it with those that are queued behind it, at most `most` in all."""
    batch = [await queue.get()]
    while len(batch) < most and not queue.empty():
        batch.append(queue.get_nowait())
    return batch
