"""Hands items on in rounds: what comes shortly after a round began shares the next one. A lone item does not wait."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Rounds(Generic[T]):
    """Rounds that are at least `gap_s` apart. Belongs to the running event loop."""

    def __init__(self, take: Callable[[T], object], *, gap_s: float) -> None:
        """`take` is called for each item of a round, in one turn of the loop."""
        self._take = take
        self._gap_s = gap_s
        self._next: list[T] = []
        self._began_s = -math.inf

    def add(self, item: T) -> None:
        """Take it in the next turn of the loop, or `gap_s` after the last round began."""
        if not self._next:
            loop = asyncio.get_running_loop()
            loop.call_at(max(loop.time(), self._began_s + self._gap_s), self._begin)
        self._next.append(item)

    def _begin(self) -> None:
        self._began_s = asyncio.get_running_loop().time()
        items, self._next = self._next, []
        for item in items:
            self._take(item)
