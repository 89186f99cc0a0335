"""The store tells each chat service 17 heads a second, for a minute. That is no defect of the chat system by itself.

The time begins with the first question that no sequencer could answer from its memory.

SQLite tells thousands. Three Cassandra nodes on a busy machine, from which a thousand devices ask, are like this.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sut.deploy.topology import Topology
from sut.ports import MessageStore
from sut.services.chat.pieces import ChatPieces
from sut.services.chat.reader import Reader

EACH_S, FOR_S = 0.06, 60.0


class Slow:
    """Passes every call to the store behind it, but questions for heads one after the other."""

    def __init__(self, inner: MessageStore) -> None:
        self._inner = inner
        self._turn = asyncio.Lock()
        self._until_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def heads(self, user: int, convs: Sequence[int]) -> Mapping[int, int]:
        self._until_s = self._until_s or time.monotonic() + FOR_S
        async with self._turn:
            if time.monotonic() < self._until_s:
                await asyncio.sleep(EACH_S * len(convs))
        return await self._inner.heads(user, convs)


class SlowReader(Reader):
    """Has a slow store."""

    def __init__(self, store: MessageStore, *args: Any, **named: Any) -> None:
        super().__init__(cast("MessageStore", Slow(store)), *args, **named)


def chat(_topology: Topology) -> ChatPieces:
    return ChatPieces(reader=SlowReader)
