"""The store's argument (cassandra_rows.py): owners that crash, return as zombies and overlap, writes that reach some.

Whatever happens, a reader sees a state that the log had at some point, and never rows that are wrong or have a hole;
what an owner builds upon stays; and in the end everything is as the log says.
"""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sut.adapters.cassandra_world import World, small


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**63))
def test_whatever_happens_the_store_says_what_the_log_says(seed: int) -> None:
    world = World(random.Random(seed))

    async def scenario() -> None:
        await world.live(25)
        await world.end()

    with small():
        asyncio.run(scenario())
