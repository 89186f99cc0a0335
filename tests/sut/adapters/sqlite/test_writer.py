"""The thread that writes a file: what it joins, the order, the bounds, and those who give up."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sut.adapters.sqlite.writer import Writer
from sut.ports import Unavailable
from tests.kit.pace import scaled
from tests.kit.waits import until


class Disk:
    """Takes writes on the thread of their writer, each when it is let."""

    def __init__(self) -> None:
        self.begun: list[list[int]] = []
        self.threads: set[int] = set()
        self.fails = False
        self._let = threading.Semaphore(0)

    def let(self, count: int = 1) -> None:
        for _ in range(count):
            self._let.release()

    def write(self, items: list[int]) -> Sequence[int]:
        self.begun.append(items)
        self.threads.add(threading.get_ident())
        assert self._let.acquire(timeout=scaled(20))
        if self.fails:
            raise Unavailable("disk: gone")
        return [item * 10 for item in items]


def writer(disk: Disk, *, max_batch: int = 100, max_waiting: int = 100, deadline_s: float = 20.0) -> Writer[int, int]:
    return Writer("disk", disk.write, max_batch=max_batch, max_waiting=max_waiting, deadline_s=deadline_s)


async def behind(first: Writer[int, int], disk: Disk, *groups: list[int]) -> list[asyncio.Task[list[int]]]:
    """Hand in these while [0] is being written; the tasks of all."""
    tasks = [asyncio.create_task(first.submit([0]))]
    await until(lambda: disk.begun == [[0]])
    tasks += [asyncio.create_task(first.submit(group)) for group in groups]
    await asyncio.sleep(0)
    return tasks


async def test_what_comes_during_a_write_goes_together_in_the_next() -> None:
    disk = Disk()
    one = writer(disk)
    tasks = await behind(one, disk, [2, 3], [4], [5])
    disk.let(2)
    assert [await task for task in tasks] == [[0], [20, 30], [40], [50]]
    assert disk.begun == [[0], [2, 3, 4, 5]]
    assert await one.submit([]) == []
    assert len(disk.threads) == 1
    assert threading.get_ident() not in disk.threads
    await one.close()


async def test_groups_are_never_split() -> None:
    disk = Disk()
    one = writer(disk, max_batch=3)
    tasks = await behind(one, disk, [1, 1], [2, 2], [3], [9] * 7)
    disk.let(10)
    await asyncio.gather(*tasks)
    assert disk.begun == [[0], [1, 1], [2, 2, 3], [9] * 7]
    await one.close()


async def test_too_many_are_refused_and_the_others_go_on() -> None:
    disk = Disk()
    one = writer(disk, max_waiting=3)
    tasks = await behind(one, disk, [2, 3], [4, 5])
    with pytest.raises(Unavailable, match="overloaded, 2 writes wait"):
        await tasks[2]
    disk.let(2)
    assert [await task for task in tasks[:2]] == [[0], [20, 30]]
    await one.close()


async def test_a_failure_is_told_to_all_of_its_batch_and_to_nobody_else() -> None:
    disk = Disk()
    one = writer(disk)
    disk.fails = True
    tasks = await behind(one, disk, [1], [2])
    disk.let()
    with pytest.raises(Unavailable, match="disk: gone"):
        await tasks[0]
    await until(lambda: len(disk.begun) == 2)
    disk.let()
    told = await asyncio.gather(*tasks[1:], return_exceptions=True)
    assert [str(error) for error in told] == ["disk: gone"] * 2
    assert told[0] is not told[1]
    disk.fails = False
    disk.let()
    assert await one.submit([3]) == [30]
    await one.close()


async def test_one_that_gave_up_before_its_turn_is_not_written() -> None:
    disk = Disk()
    one = writer(disk)
    tasks = await behind(one, disk, [1], [2], [3])
    tasks[2].cancel()
    await asyncio.sleep(0)
    disk.let(2)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert disk.begun == [[0], [1, 3]]
    await one.close()


async def test_a_write_that_hangs_costs_the_deadline_and_what_waited_behind_it_is_not_written() -> None:
    disk = Disk()
    one = writer(disk, deadline_s=0.4)
    began_s = time.monotonic()
    tasks = await behind(one, disk, [1], [2])
    for task in tasks:
        with pytest.raises(Unavailable, match="no answer in"):
            await task
    assert 0.4 <= time.monotonic() - began_s < scaled(1.5)
    disk.let(2)
    assert await one.submit([3]) == [30]
    assert disk.begun == [[0], [3]]
    await one.close()


async def test_one_that_comes_later_has_its_own_time() -> None:
    disk = Disk()
    one = writer(disk, deadline_s=0.4)
    first = asyncio.create_task(one.submit([1]))
    await asyncio.sleep(0.35)
    began_s = time.monotonic()
    second = asyncio.create_task(one.submit([2]))
    for task in (first, second):
        with pytest.raises(Unavailable, match="no answer in"):
            await task
    assert time.monotonic() - began_s >= 0.4
    disk.let(2)
    await one.close()


async def test_closing_waits_for_what_was_handed_in_and_takes_no_more() -> None:
    disk = Disk()
    one = writer(disk)
    tasks = await behind(one, disk, [1])
    closing = asyncio.create_task(one.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    disk.let(2)
    await closing
    assert [await task for task in tasks] == [[0], [10]]
    with pytest.raises(Unavailable, match="closed"):
        await one.submit([2])
    await writer(Disk()).close()  # one that never wrote


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(), min_size=1, max_size=5), max_size=20), st.integers(1, 8))
def test_every_item_is_written_once_in_order_of_arrival(groups: list[list[int]], max_batch: int) -> None:
    async def scenario() -> None:
        disk = Disk()
        disk.let(1_000)
        one = writer(disk, max_batch=max_batch, max_waiting=1_000)
        results = await asyncio.gather(*(one.submit(items) for items in groups))
        assert results == [[item * 10 for item in items] for items in groups]
        assert [item for batch in disk.begun for item in batch] == [item for items in groups for item in items]
        await one.close()

    asyncio.run(scenario())
