"""The old pieces: what a link or a dead chat service had lost was not sent again."""

import asyncio

from sut.gateway.handed import Handed
from sut.protocol.peer import FetchPage
from sut.services.sequencer.emitter import Emitter
from tests.defects.lost_until_the_heartbeat.old_piece import Forgetful, Trusting
from tests.kit.waits import until
from tests.sut.services.test_emitter import Gateway, a_world, route


async def lost_on_a_link(emitter: type[Emitter]) -> list[int]:
    """What a gateway gets over its second link, of a notification that came while it had none."""
    async with a_world(emitter) as world:
        world.registry.known = {1: (route(11, 3),)}
        await world.notify(1)
        await until(lambda: world.delivered() == [3])
        await world.gateway.server.close()
        await until(lambda: not world.link.up)
        await world.notify(1)
        world.gateway = Gateway(world.port)
        await world.gateway.start()
        await until(lambda: world.link.up)
        await asyncio.sleep(0.5)
        return world.delivered()


def test_what_a_link_lost_was_lost() -> None:
    assert asyncio.run(lost_on_a_link(Trusting)) == []
    assert 3 in asyncio.run(lost_on_a_link(Emitter))


def test_what_a_chat_service_had_taken_was_lost() -> None:
    for kind, lost in ((Forgetful, 0), (Handed, 1)):
        handed = kind(1)
        handed.note(0, 1, FetchPage(1, 3, 1, 9, 4, 50), 100)
        assert len(handed.lost(0, 0, 101)) == lost
