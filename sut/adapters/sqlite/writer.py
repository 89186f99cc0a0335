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
from typing import Final, Generic, NamedTuple, TypeVar

from sut.adapters.shared.group_commit import for_each
from sut.ports import Unavailable
from sut.process.lateness import slack_s

T = TypeVar("T")
R = TypeVar("R")

TICKS: Final = 4
"""Looks at the time limits within one of them: a caller waits for a quarter more at most. A stall of the loop counts
as one look, because what came meanwhile is handled before the next (as in patience.py)."""


class _Group(NamedTuple, Generic[T, R]):
    """One caller's items: written whole and in order, or failed as a whole."""

    items: Sequence[T]
    done: asyncio.Future[list[R]]
    until: int
    """The look at which it is given up."""


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
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._groups: deque[_Group[T, R]] = deque()
        self._waiting = 0
        self._unsettled: deque[_Group[T, R]] = deque()
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
        group: _Group[T, R] = _Group(items, loop.create_future(), self._looks + TICKS + 1)
        with self._lock:
            if self._groups and self._waiting + len(items) > self._max_waiting:
                raise Unavailable(f"{self._name}: overloaded, {self._waiting} writes wait")
            self._groups.append(group)
            self._waiting += len(items)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(loop,), name=f"{self._name} writer", daemon=True)
            self._thread.start()
        self._wake.put(True)
        self._unsettled.append(group)
        if not self._looking:
            self._look_later(loop)
        return await group.done

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
        while unsettled and (unsettled[0].done.done() or unsettled[0].until <= self._looks):
            done = unsettled.popleft().done
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
                    results = self._write([item for group in groups for item in group.items])
                except Exception as error:  # noqa: BLE001 (each caller gets it)
                    results = error
                with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                    loop.call_soon_threadsafe(_settle, groups, results)

    def _take(self) -> list[_Group[T, R]]:
        groups: list[_Group[T, R]] = []
        size = 0
        with self._lock:
            while self._groups and (not groups or size + len(self._groups[0].items) <= self._max_batch):
                group = self._groups.popleft()
                self._waiting -= len(group.items)
                if not group.done.done():
                    groups.append(group)
                    size += len(group.items)
        return groups


def _settle(groups: list[_Group[T, R]], results: Sequence[R] | Exception) -> None:
    """Tell each caller its results, or what failed."""
    start = 0
    for group in groups:
        end = start + len(group.items)
        if group.done.done():
            pass
        elif isinstance(results, Exception):
            group.done.set_exception(for_each(results))
        else:
            group.done.set_result(list(results[start:end]))
        start = end
