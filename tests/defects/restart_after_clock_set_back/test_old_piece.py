"""The old piece: a sequencer sends nothing to a gateway that has a lower incarnation than the one before."""

import time

from sut.services.sequencer.edge import Edge
from tests.defects.restart_after_clock_set_back.old_piece import Highest
from tests.kit.waits import until
from tests.sut.services.test_edge import Gateway, World, item


async def answered(kind: type[Edge]) -> bool:
    """Whether an answer for a connection of the second life reaches the gateway; its clock was set back before that."""
    world = World()
    world.edge = kind(world.link, pass_on=lambda _frame: False)
    await world.gateway.start()
    world.link.start()
    try:
        await until(lambda: world.link.up)
        assert world.edge.serves(5)
        await world.gateway.server.close()
        await until(lambda: not world.link.up)
        world.gateway = Gateway(world.port, incarnation=4)
        await world.gateway.start()
        await until(lambda: world.link.up)
        if not world.edge.serves(4):  # then the emitter drops the answer
            return False
        world.edge.send((item(1),), time.monotonic())
        await until(lambda: world.gateway.conns() == [1])
        return True
    finally:
        await world.link.close()
        await world.gateway.server.close()


async def test_nothing_reached_a_gateway_whose_clock_was_set_back() -> None:
    assert not await answered(Highest)
    assert await answered(Edge)
