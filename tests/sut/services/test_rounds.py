"""What comes in the wake of a round shares the next one."""

import asyncio
import time

from sut.services.chat.rounds import Rounds
from tests.kit.pace import scaled
from tests.kit.waits import until


async def test_a_lone_item_does_not_wait() -> None:
    taken: list[int] = []
    rounds = Rounds(taken.append, gap_s=60.0)
    rounds.add(1)
    await until(lambda: taken == [1])


async def test_what_comes_within_the_gap_is_taken_in_one_turn_and_in_order() -> None:
    taken: list[tuple[int, float]] = []
    gap_s = scaled(0.2)
    loop = asyncio.get_running_loop()
    rounds = Rounds(lambda item: taken.append((item, loop.time())), gap_s=gap_s)
    rounds.add(0)
    await until(lambda: taken)
    began_s = time.monotonic()
    for item in range(1, 6):
        rounds.add(item)
        await asyncio.sleep(0)
    assert len(taken) == 1 or time.monotonic() - began_s > gap_s / 2
    await until(lambda: len(taken) == 6)
    assert [item for item, _ in taken] == list(range(6))
    assert taken[1][1] - taken[0][1] >= gap_s - 0.002, "the loop's clock has steps of a millisecond"
