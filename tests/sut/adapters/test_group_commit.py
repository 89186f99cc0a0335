"""Writes that are joined, and blocking work that is bounded: order, fairness, limits, cancellation."""

import asyncio
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sut.adapters.shared.bounded_pool import BoundedPool
from sut.adapters.shared.group_commit import GroupCommit
from sut.ports import Unavailable


class Disk:
    """Takes writes one after the other, each when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.fails = False
        self._let = asyncio.Semaphore(0)
        self._busy = False

    def let(self, count: int = 1) -> None:
        for _ in range(count):
            self._let.release()

    async def write(self, items: list[int]) -> list[int]:
        assert not self._busy, "two writes at once"
        self._busy = True
        await self._let.acquire()
        self._busy = False
        if self.fails:
            raise Unavailable("disk: gone")
        self.batches.append(items)
        return [item * 10 for item in items]


def group(disk: Disk, *, max_batch: int = 100, max_waiting: int = 100) -> GroupCommit[int, int]:
    return GroupCommit("test", disk.write, max_batch=max_batch, max_waiting=max_waiting)


async def started(*submits: object) -> list[asyncio.Task[list[int]]]:
    """Tasks that have handed in what they have."""
    tasks = [asyncio.create_task(submit) for submit in submits]  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_what_comes_during_a_write_goes_together_in_the_next() -> None:
    disk = Disk()
    commit = group(disk)
    first = await started(commit.submit([1]))
    rest = await started(commit.submit([2, 3]), commit.submit([4]), commit.submit([5]))
    disk.let(2)
    assert [await task for task in first + rest] == [[10], [20, 30], [40], [50]]
    assert disk.batches == [[1], [2, 3, 4, 5]]


async def test_where_a_write_is_dear_the_first_waits_for_the_tick_and_what_waited_already_does_not() -> None:
    tick_s = 0.2
    disk, other = Disk(), Disk()
    commits = [GroupCommit("test", to.write, max_batch=100, max_waiting=100, tick_s=tick_s) for to in (disk, other)]
    await asyncio.sleep(tick_s - time.monotonic() % tick_s + 0.01)
    tasks = await started(commits[0].submit([1]))
    await asyncio.sleep(0.05)
    tasks += await started(commits[0].submit([2]), commits[1].submit([4]))  # another place, and the same tick
    other.let()
    assert await tasks[2] == [40]
    assert time.monotonic() % tick_s < 0.1, "just after a tick"
    tasks += await started(commits[0].submit([3]))
    disk.let(2)
    async with asyncio.timeout(0.1):
        assert [await task for task in tasks] == [[10], [20], [40], [30]]
    assert disk.batches == [[1, 2], [3]]


async def test_groups_are_never_split() -> None:
    disk = Disk()
    commit = group(disk, max_batch=3)
    disk.let(10)
    await asyncio.gather(*await started(*(commit.submit([n, n]) for n in range(4)), commit.submit([9] * 7)))
    assert disk.batches == [[0, 0], [1, 1], [2, 2], [3, 3], [9] * 7]


async def test_too_many_are_refused_and_the_others_go_on() -> None:
    disk = Disk()
    commit = group(disk, max_waiting=3)
    tasks = await started(commit.submit([1]), commit.submit([2, 3]), commit.submit([4, 5]))
    assert isinstance(tasks[2].exception() if tasks[2].done() else None, Unavailable)
    disk.let(2)
    assert [await task for task in tasks[:2]] == [[10], [20, 30]]


async def test_a_failure_is_told_to_all_of_its_batch_and_to_nobody_else() -> None:
    disk = Disk()
    commit = group(disk)
    disk.fails = True
    tasks = await started(commit.submit([1]))
    disk.let()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["disk: gone"]
    disk.fails = False
    disk.let()
    assert await commit.submit([2]) == [20]


async def test_one_that_gave_up_before_its_turn_is_not_written() -> None:
    disk = Disk()
    commit = group(disk)
    tasks = await started(commit.submit([1]), commit.submit([2]), commit.submit([3]))
    first = await started(commit.submit([4]))
    tasks[1].cancel()
    await asyncio.sleep(0)
    disk.let(5)
    await asyncio.gather(*tasks, *first, return_exceptions=True)
    assert 2 not in [item for batch in disk.batches[1:] for item in batch]
    assert await commit.submit([]) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(), min_size=1, max_size=5), max_size=20), st.integers(1, 8))
def test_every_item_is_written_once_in_order_of_arrival(groups: list[list[int]], max_batch: int) -> None:
    async def scenario() -> None:
        disk = Disk()
        disk.let(1_000)
        commit = group(disk, max_batch=max_batch, max_waiting=1_000)
        results = await asyncio.gather(*(commit.submit(items) for items in groups))
        assert results == [[item * 10 for item in items] for items in groups]
        assert [item for batch in disk.batches for item in batch] == [item for items in groups for item in items]

    asyncio.run(scenario())


async def test_a_pool_gives_up_at_the_deadline_and_refuses_beyond_its_bound() -> None:
    pool = BoundedPool("pool", threads=1, max_waiting=2, deadline_s=0.2)
    go = threading.Event()
    began = time.monotonic()
    stuck = [asyncio.create_task(pool.run(go.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="overloaded"):
        await pool.run(go.wait)
    for task in stuck:
        with pytest.raises(Unavailable, match="no answer in"):
            await task
    assert time.monotonic() - began < 0.5
    go.set()
    assert await pool.run(lambda: 5) == 5
    await pool.close()
    with pytest.raises(Unavailable, match="closed"):
        await pool.run(lambda: 5)
