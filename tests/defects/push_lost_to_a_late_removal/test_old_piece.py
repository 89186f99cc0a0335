"""The old piece: the push service was told nothing of a device that had left."""

import asyncio

from sut.gateway.silence import SILENT_S
from tests.defects.push_lost_to_a_late_removal.old_piece import gateway
from tests.sut.gateway.test_silence import asked
from tests.sut.gateway.world import World, in_world


def test_a_device_that_had_left_was_neither_there_nor_silent(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11):
            await world.wait_until_stat("routes_waiting", lambda n: n == 0)
            world.registry.answer_s = 4.0
        await asyncio.sleep(SILENT_S + 0.5)
        answer = await asked(world, 11)
        world.registry.answer_s = 0.0
        assert (answer.devices, answer.silent) == ((), ())

    pace = gateway(None).pace
    assert pace is not None
    in_world(scenario, tmp_path, heartbeat_s=30, pace=pace)
