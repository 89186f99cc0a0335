"""Joins concurrent writes to one place into one, so that they share the cost of durability.

Writes that come during a write wait in a bounded queue and then go together. Where a write is expensive, a first item
may wait for the next tick of the clock (`tick_s`). The tick is the same for all places and all processes of a machine,
so that writes for one server arrive together. Otherwise a write that comes alone goes at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from sut.ports import Unavailable

T = TypeVar("T")
R = TypeVar("R")


class _Group(NamedTuple, Generic[T, R]):
    """One caller's items: written whole and in order, or failed as a whole."""

    items: Sequence[T]
    done: asyncio.Future[list[R]]


class GroupCommit(Generic[T, R]):
    """Writes to one place, one at a time, each with all that waits. Belongs to one event loop."""

    def __init__(
        self,
        name: str,
        write: Callable[[list[T]], Awaitable[list[R]]],
        *,
        max_batch: int,
        max_waiting: int,
        tick_s: float = 0.0,
    ) -> None:
        """`write` gets the items of whole groups in order of arrival and returns a result for each item.

        It gets about `max_batch` items at most; a larger group goes alone.
        """
        self._tick_s = tick_s
        self._name = name
        self._write = write
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._groups: deque[_Group[T, R]] = deque()
        self._waiting = 0
        self._leader: asyncio.Task[None] | None = None

    async def submit(self, items: Sequence[T]) -> list[R]:
        """Write these together with everything else that waits; return their results when they are written.

        Raises what `write` raised, or Unavailable, without effect, when more than `max_waiting` items wait. A caller
        that is cancelled before its turn has written nothing.
        """
        if not items:
            return []
        if self._groups and self._waiting + len(items) > self._max_waiting:
            raise Unavailable(f"{self._name}: overloaded, {self._waiting} writes wait")
        done: asyncio.Future[list[R]] = asyncio.get_running_loop().create_future()
        self._groups.append(_Group(items, done))
        self._waiting += len(items)
        if self._leader is None:
            self._leader = asyncio.create_task(self._lead(), name=f"{self._name} group commit")
        return await done

    async def close(self) -> None:
        """Wait for the writes in progress."""
        if self._leader is not None:
            await self._leader

    async def _lead(self) -> None:
        try:
            if self._tick_s:
                await asyncio.sleep(self._tick_s - time.monotonic() % self._tick_s)
            while self._groups:
                groups = self._take()
                if groups:
                    await self._write_groups(groups)
        finally:
            self._leader = None
            while self._groups:  # the loop is ending: no other leader will start
                self._groups.popleft().done.cancel()
            self._waiting = 0

    def _take(self) -> list[_Group[T, R]]:
        groups: list[_Group[T, R]] = []
        size = 0
        while self._groups and (not groups or size + len(self._groups[0].items) <= self._max_batch):
            group = self._groups.popleft()
            self._waiting -= len(group.items)
            if not group.done.done():
                groups.append(group)
                size += len(group.items)
        return groups

    async def _write_groups(self, groups: list[_Group[T, R]]) -> None:
        try:
            results = await self._write([item for group in groups for item in group.items])
        except Exception as error:  # noqa: BLE001 (each caller gets it)
            for group in groups:
                if not group.done.done():
                    group.done.set_exception(for_each(error))
            return
        start = 0
        for group in groups:
            end = start + len(group.items)
            if not group.done.done():
                group.done.set_result(results[start:end])
            start = end


def for_each(error: Exception) -> Exception:
    """Return a copy of Unavailable for a caller: a shared one would collect the tracebacks of all."""
    if isinstance(error, Unavailable):
        return type(error)(*error.args)
    return error
