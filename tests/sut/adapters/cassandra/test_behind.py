"""Reads on three real nodes of which one missed an emptied bucket: it still has rows that the others have deleted."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from sut.adapters.cassandra.retention import DAY_S
from sut.adapters.cassandra.rows import BUCKET_ROWS
from tests.kit.pace import scaled
from tests.sut.adapters.cassandra.test_nodes import CONV, CREATION, change, image_at, messages
from tests.sut.adapters.cassandra_system import CassandraSystem

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(300)]

LAST = BUCKET_ROWS + 10
BOUND_S = 1.0
"""A node's own time-out. Row by row the 4,095 deleted rows take longer, and the read ends without an answer."""


@pytest.fixture(scope="module")
def behind(cassandra_system: CassandraSystem) -> Iterator[CassandraSystem]:
    """Node 2 has all rows of bucket 0, which the others have deleted, and nobody tells it."""
    cassandra_system.empty()
    asyncio.run(emptied(cassandra_system))
    cassandra_system.forget_hints(0, 1)
    try:
        yield cassandra_system
    finally:
        cassandra_system.heal()
        cassandra_system.empty()


async def emptied(nodes: CassandraSystem) -> None:
    now = [100.5 * DAY_S]
    async with nodes.opened(deadline_s=scaled(20.0), wall_clock=lambda: now[0]) as store:
        await store.write(0, [CREATION])
        await store.write(0, [change(1, LAST)])
        await asyncio.to_thread(nodes.kill, 2)
        now[0] += 10 * DAY_S
        while await store.expire(0, 2 * DAY_S):
            pass


async def timed(action: Callable[[], Awaitable[object]]) -> tuple[object, float]:
    begun = time.monotonic()
    found = await action()
    return found, time.monotonic() - begun


@pytest.mark.parametrize("paused", [0, 1, None])
async def test_each_read_answers_within_a_nodes_own_time_out(behind: CassandraSystem, paused: int | None) -> None:
    left = list(messages(BUCKET_ROWS, LAST))
    async with behind.opened(deadline_s=scaled(4.0)) as store:
        if paused is not None:
            behind.pause(paused)
        try:
            reads: dict[str, tuple[Callable[[], Awaitable[object]], object]] = {
                "load": (lambda: store.load(CONV), image_at(LAST)),
                "loads": (lambda: asyncio.gather(*(store.load(CONV) for _ in range(3))), [image_at(LAST)] * 3),
                "heads": (lambda: store.heads(7, [CONV]), {CONV: LAST}),
                "page": (lambda: store.page(CONV, 0, 100), left),
                "a page of one": (lambda: store.page(CONV, 0, 1), left[:1]),
                "the newest": (lambda: store.page_before(CONV, 1 << 40, 100), left),
                "the newest ten": (lambda: store.page_before(CONV, LAST + 1, 10), left[-10:]),
                "before what is left": (lambda: store.page_before(CONV, BUCKET_ROWS, 1), []),
                "long before it": (lambda: store.page_before(CONV, 100, 10), []),
            }
            for name, (action, expected) in reads.items():
                found, took_s = await timed(action)
                assert found == expected, name
                assert took_s < scaled(BOUND_S), f"{name}: {took_s:.2f} s"
        finally:
            if paused is not None:
                behind.resume(paused)
