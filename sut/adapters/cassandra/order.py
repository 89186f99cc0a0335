"""The order of writes that replace each other: the later call counts, whatever the clocks of the processes say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sut.adapters.cassandra.session import CassandraSession


async def after(
    session: CassandraSession, written: str, key: Sequence[Any], *, wall_clock_ns: Callable[[], int]
) -> int:
    """Return the timestamp (microseconds) of a write that replaces what is stored. Raises Unavailable.

    `written`: the statement that selects the write times of what is stored under `key`.
    """
    found = await session.read(written, key)
    earlier: list[int] = [at_us for row in found for at_us in row if at_us is not None]
    return max([wall_clock_ns() // 1000, *(at_us + 1 for at_us in earlier)])
