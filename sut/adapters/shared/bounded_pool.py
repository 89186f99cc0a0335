"""Blocking work on a fixed number of threads, with a bounded queue and a deadline; the event loop never waits.

concurrent.futures gives the threads; its queue has no bound, so the bound is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from sut.adapters.shared.patience import patience
from sut.ports import Unavailable

T = TypeVar("T")


class BoundedPool:
    """Threads for one backend's blocking calls."""

    def __init__(self, name: str, *, threads: int, max_waiting: int, deadline_s: float) -> None:
        """`max_waiting`: calls that may run or wait. `deadline_s`: each is answered or given up within this time."""
        self._name = name
        self._deadline_s = deadline_s
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._places = threading.BoundedSemaphore(max_waiting)

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, or raise what it raises.

        Raises Unavailable when the queue is full (`work` never began) or when the deadline passes. After the deadline,
        work that has begun goes on: its effect is unknown.
        """
        if not self._places.acquire(blocking=False):
            raise Unavailable(f"{self._name}: overloaded, too many calls wait")
        try:
            future = self._executor.submit(work)
        except RuntimeError:
            self._places.release()
            raise Unavailable(f"{self._name}: closed") from None
        future.add_done_callback(self._leave)
        try:
            async with patience(self._deadline_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise Unavailable(f"{self._name}: no answer in {self._deadline_s} s") from None

    async def close(self) -> None:
        """Take no more work, drop what has not begun, and wait for the rest within the deadline."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadline_s):
                await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

    def _leave(self, _: Future[T]) -> None:
        self._places.release()
