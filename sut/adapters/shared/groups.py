"""Callers' items that wait to be written together: bounded, in order of arrival, each caller's whole or not at all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from sut.ports import Unavailable

T = TypeVar("T")
R = TypeVar("R")


class Group(NamedTuple, Generic[T, R]):
    """One caller's items: written whole and in order, or failed as a whole."""

    items: Sequence[T]
    done: asyncio.Future[list[R]]


class Groups(Generic[T, R]):
    """The groups that wait. Two threads may use it in turn, not at once."""

    def __init__(self, name: str, *, max_batch: int, max_waiting: int) -> None:
        self._name = name
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._groups: deque[Group[T, R]] = deque()
        self._waiting = 0

    def __bool__(self) -> bool:
        return bool(self._groups)

    def put(self, items: Sequence[T]) -> Group[T, R]:
        """Add a group, whose caller belongs to the running loop. Raises Unavailable when too many items wait."""
        if self._groups and self._waiting + len(items) > self._max_waiting:
            raise Unavailable(f"{self._name}: overloaded, {self._waiting} writes wait")
        group: Group[T, R] = Group(items, asyncio.get_running_loop().create_future())
        self._groups.append(group)
        self._waiting += len(items)
        return group

    def take(self) -> list[Group[T, R]]:
        """Return the next groups, some `max_batch` items or one larger group, without those whose caller is gone."""
        groups: list[Group[T, R]] = []
        size = 0
        while self._groups and (not groups or size + len(self._groups[0].items) <= self._max_batch):
            group = self._groups.popleft()
            self._waiting -= len(group.items)
            if not group.done.done():
                groups.append(group)
                size += len(group.items)
        return groups

    def cancel(self) -> None:
        """Cancel all that wait."""
        while self._groups:
            self._groups.popleft().done.cancel()
        self._waiting = 0


def items_of(groups: Sequence[Group[T, R]]) -> list[T]:
    """Return the items of all groups, in order."""
    return [item for group in groups for item in group.items]


def settle(groups: Sequence[Group[T, R]], results: Sequence[R] | Exception) -> None:
    """Tell each caller its results, or what failed. Call it in the callers' loop."""
    start = 0
    for group in groups:
        end = start + len(group.items)
        if group.done.done():
            pass
        elif isinstance(results, Exception):
            group.done.set_exception(_for_each(results))
        else:
            group.done.set_result(list(results[start:end]))
        start = end


def _for_each(error: Exception) -> Exception:
    """Return a copy of Unavailable for a caller: a shared one would collect the tracebacks of all."""
    if isinstance(error, Unavailable):
        return type(error)(*error.args)
    return error
