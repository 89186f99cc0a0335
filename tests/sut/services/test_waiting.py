"""Looks that are made again and again come together, on the multiples of their period."""

import asyncio
import math

from hypothesis import given
from hypothesis import strategies as st

from sut.services.waiting import to_tick_s, until_tick


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
