"""Joins questions to a backend: those asked in one turn of the event loop go to it together.

A caller gets an answer to a question that was sent after the call, never to one already in progress. That answer would
be older than the caller may assume.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Gathering(Generic[K, V]):
    """Joined questions by key. Belongs to one event loop."""

    def __init__(self, question: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], *, most: int) -> None:
        """`question` answers for at most `most` keys; a key missing from its answer has none."""
        self._question = question
        self._most = most
        self._asked: dict[K, asyncio.Future[V | None]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, key: K) -> V | None:
        """Return the answer for this key, None when there is none. Raises what `question` raises."""
        loop = asyncio.get_running_loop()
        if not self._asked:
            loop.call_soon(self._put)
        if key not in self._asked:
            self._asked[key] = loop.create_future()
        return await asyncio.shield(self._asked[key])

    def _put(self) -> None:
        asked, self._asked = iter(self._asked.items()), {}
        while part := dict(islice(asked, self._most)):
            task = asyncio.get_running_loop().create_task(self._answer(part))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _answer(self, part: Mapping[K, asyncio.Future[V | None]]) -> None:
        try:
            found = await self._question(tuple(part))
        except Exception as error:  # noqa: BLE001 (each asker gets it)
            for future in part.values():
                future.set_exception(error)
                future.exception()  # a caller that was cancelled does not fetch it
        else:
            for key, future in part.items():
                future.set_result(found.get(key))
