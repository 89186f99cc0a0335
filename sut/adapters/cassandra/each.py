"""Many requests to Cassandra with a limit on how many run at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from sut.ports import Unavailable

T = TypeVar("T")


def chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Split the items into parts of at most `size`."""
    return [items[start : start + size] for start in range(0, len(items), size)]


async def each(items: Sequence[T], action: Callable[[T], Awaitable[None]], *, width: int) -> None:
    """Run `action` on all items, `width` at a time. After a first error it starts no more, and raises at the end."""
    left = iter(items)
    errors: list[Unavailable] = []

    async def work() -> None:
        for item in left:
            try:
                await action(item)
            except Unavailable as error:
                errors.append(error)
            if errors:
                return

    await asyncio.gather(*(work() for _ in range(min(width, len(items)))))
    if errors:
        raise errors[0]
