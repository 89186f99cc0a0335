"""Looks that are made again and again come together, on the multiples of their period."""

import asyncio
import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.ports import Unavailable
from sut.services.waiting import paced, to_tick_s, until_available, until_tick


@given(st.floats(0.0, 1e7), st.sampled_from([0.02, 0.05, 0.1, 0.15, 0.25, 1.0]))
def test_the_next_tick_is_a_multiple_and_never_now(now_s: float, period_s: float) -> None:
    wait_s = to_tick_s(now_s, period_s)
    assert 0.0009 < wait_s <= period_s
    times = (now_s + wait_s) / period_s
    assert math.isclose(times, round(times), abs_tol=0.0006 / period_s)


async def test_those_who_began_at_different_times_wake_up_together() -> None:
    loop = asyncio.get_running_loop()
    woken: list[float] = []

    async def look(after_s: float) -> None:
        await asyncio.sleep(after_s)
        await until_tick(0.5)
        woken.append(loop.time())

    await until_tick(0.5)
    await asyncio.gather(*(look(0.03 * step) for step in range(5)))
    assert {round(at_s / 0.5) for at_s in woken} == {round(woken[0] / 0.5)}


async def test_the_log_says_once_a_second_who_waits_however_many_calls_do(caplog: pytest.LogCaptureFixture) -> None:
    left = dict.fromkeys(range(50), 2)

    async def answer(call: int) -> int:
        left[call] -= 1
        if left[call] >= 0:
            raise Unavailable("overloaded")
        return call

    calls = (until_available(lambda call=call: answer(call), "a reader of this test") for call in left)
    assert await asyncio.gather(*calls) == list(left)
    said = [record.message for record in caplog.records if "a reader of this test" in record.message]
    assert said == ["a reader of this test waits: overloaded"]


async def all_parts(waiting: dict[int, str], *, tick_s: float, pace_s: float) -> list[list[int]]:
    """What is taken together, until nothing waits."""
    parts: list[list[int]] = []
    async with contextlib.aclosing(paced(waiting, tick_s=tick_s, pace_s=pace_s)) as taking:
        async for taken in taking:
            parts.append(list(taken))
            if not waiting:
                break
    return parts


async def test_what_may_wait_is_taken_in_shares_the_oldest_first() -> None:
    parts = await all_parts(dict.fromkeys(range(10), "x"), tick_s=0.01, pace_s=0.05)
    assert parts == [[0, 1], [2, 3], [4, 5], [6], [7], [8], [9]]


async def test_a_pace_shorter_than_a_tick_takes_all_at_once() -> None:
    assert await all_parts(dict.fromkeys(range(10), "x"), tick_s=60.0, pace_s=0.01) == [list(range(10))]
