"""One thread that writes one file: each transaction takes all that waits for it.

A write costs one hop to the thread and one back, however many callers share it, and no task. The thread starts with the
first write. Time limits are looked at by one timer for all callers, so a write sets none of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

from sut.adapters.shared.groups import Group, Groups, items_of, settle
from sut.ports import Unavailable
from sut.process.lateness import slack_s

T = TypeVar("T")
R = TypeVar("R")

TICKS: Final = 4
"""Looks at the time limits within one of them: a caller waits for a quarter more at most. A stall of the loop counts
as one look, because what came meanwhile is handled before the next (as in patience.py)."""


class Writer(Generic[T, R]):
    """Writes to one file, one transaction at a time, each with all that waits. Belongs to one event loop."""

    def __init__(
        self,
        name: str,
        write: Callable[[list[T]], Sequence[R]],
        *,
        max_batch: int,
        max_waiting: int,
        deadline_s: float,
    ) -> None:
        """`write` runs on the thread. It gets the items of whole groups in order of arrival and returns a result for
        each item.

        It gets about `max_batch` items at most; a larger group goes alone.
        """
        self._name = name
        self._write = write
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._groups: Groups[T, R] = Groups(name, max_batch=max_batch, max_waiting=max_waiting)
        self._unsettled: deque[tuple[int, asyncio.Future[list[R]]]] = deque()
        """The look at which each caller is given up."""
        self._looks = 0
        self._looking = False
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def submit(self, items: Sequence[T]) -> list[R]:
        """Write these together with everything else that waits; return their results when they are written.

        Raises what `write` raised, or Unavailable: without effect when more than `max_waiting` items wait, with an
        unknown one after the deadline. A caller that is cancelled before its turn has written nothing.
        """
        if not items:
            return []
        if self._closed:
            raise Unavailable(f"{self._name}: closed")
        loop = asyncio.get_running_loop()
        with self._lock:
            done = self._groups.put(items).done
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(loop,), name=f"{self._name} writer", daemon=True)
            self._thread.start()
        self._wake.put(True)
        self._unsettled.append((self._looks + TICKS + 1, done))
        if not self._looking:
            self._look_later(loop)
        return await done

    async def close(self) -> None:
        """Take no more, and wait within the deadline for what was handed in."""
        self._closed = True
        if self._thread is not None:
            self._wake.put(False)
            await asyncio.to_thread(self._thread.join, self._deadline_s)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looking = True
        loop.call_later((self._deadline_s + slack_s()) / TICKS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give up what has waited for too long."""
        self._looks += 1
        unsettled = self._unsettled
        while unsettled and (unsettled[0][1].done() or unsettled[0][0] <= self._looks):
            _, done = unsettled.popleft()
            if not done.done():
                done.set_exception(Unavailable(f"{self._name}: no answer in {self._deadline_s} s"))
        self._looking = False
        if unsettled:
            self._look_later(loop)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write until the end is told. Runs on the thread."""
        while self._wake.get():
            while groups := self._take():
                results: Sequence[R] | Exception
                try:
                    results = self._write(items_of(groups))
                except Exception as error:  # noqa: BLE001 (each caller gets it)
                    results = error
                with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                    loop.call_soon_threadsafe(settle, groups, results)

    def _take(self) -> list[Group[T, R]]:
        with self._lock:
            return self._groups.take()
