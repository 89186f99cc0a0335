"""The old piece: what had waited for a link was confirmed with a newer frame, and never sent."""

import asyncio
import time

from sut.services.sequencer.edge import Edge
from tests.defects.confirmed_before_sent.old_piece import Overtaken
from tests.kit.waits import until
from tests.sut.services.test_edge import World, item


async def reached(kind: type[Edge]) -> list[int]:
    """What a gateway got that has confirmed the last of three frames; the first two had waited for the link."""
    world = World()
    world.edge = kind(world.link, pass_on=lambda _frame: False)
    world.link.start()
    try:
        now_s = time.monotonic()
        world.edge.serves(5)
        for number in (1, 2):
            world.edge.send((item(number),), now_s)
        await world.gateway.start()
        await until(lambda: world.link.up)
        world.edge.send((item(3),), now_s)
        await until(lambda: 3 in world.gateway.conns())
        world.edge.taken(3)
        world.edge.look(now_s)
        await asyncio.sleep(0.1)
        return world.gateway.conns()
    finally:
        await world.link.close()
        await world.gateway.server.close()


async def test_what_waited_for_the_link_was_lost() -> None:
    assert await reached(Overtaken) == [3]
    assert await reached(Edge) == [1, 2, 3]
