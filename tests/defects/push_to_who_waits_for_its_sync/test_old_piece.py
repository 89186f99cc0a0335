"""The old piece: a device that waits for its SYNC counts as there, however long it waits."""

import asyncio

from sut.gateway.silence import SILENT_S
from sut.protocol.frames import Sync
from tests.defects.push_to_who_waits_for_its_sync.old_piece import gateway
from tests.sut.gateway.test_silence import asked
from tests.sut.gateway.world import World, in_world


def test_a_device_without_an_answer_was_there_and_not_silent(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as device:
            await world.wait_until_stat("routes_waiting", lambda n: n == 0)
            await device.send(Sync(1, 0, ()))
            await asyncio.sleep(SILENT_S + 0.5)
            answer = await asked(world, 11)
            assert (answer.devices, answer.silent) == ((11,), ())

    in_world(scenario, tmp_path, heartbeat_s=30, pieces=gateway(None))
