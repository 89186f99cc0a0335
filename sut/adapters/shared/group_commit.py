"""Joins concurrent writes to one place into one, so that they share the cost of durability.

Writes that come during a write wait in a bounded queue and then go together. Where a write is expensive, a first item
may wait for the next tick of the clock (`tick_s`). The tick is the same for all places and all processes of a machine,
so that writes for one server arrive together. Otherwise a write that comes alone goes at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from sut.adapters.shared.groups import Group, Groups, items_of, settle

T = TypeVar("T")
R = TypeVar("R")


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
        self._groups: Groups[T, R] = Groups(name, max_batch=max_batch, max_waiting=max_waiting)
        self._leader: asyncio.Task[None] | None = None

    async def submit(self, items: Sequence[T]) -> list[R]:
        """Write these together with everything else that waits; return their results when they are written.

        Raises what `write` raised, or Unavailable, without effect, when more than `max_waiting` items wait. A caller
        that is cancelled before its turn has written nothing.
        """
        if not items:
            return []
        group = self._groups.put(items)
        if self._leader is None:
            self._leader = asyncio.create_task(self._lead(), name=f"{self._name} group commit")
        return await group.done

    async def close(self) -> None:
        """Wait for the writes in progress."""
        if self._leader is not None:
            await self._leader

    async def _lead(self) -> None:
        try:
            if self._tick_s:
                await asyncio.sleep(self._tick_s - time.monotonic() % self._tick_s)
            while self._groups:
                groups = self._groups.take()
                if groups:
                    await self._write_groups(groups)
        finally:
            self._leader = None
            self._groups.cancel()  # the loop is ending: no other leader will start

    async def _write_groups(self, groups: list[Group[T, R]]) -> None:
        results: Sequence[R] | Exception
        try:
            results = await self._write(items_of(groups))
        except Exception as error:  # noqa: BLE001 (each caller gets it)
            results = error
        settle(groups, results)
