"""The old piece: a record of a dead sequencer's partition stayed without a number."""

import asyncio
from pathlib import Path

from tests.defects.partitions_wait_for_restart.old_piece import Absent
from tests.kit.waits import until
from tests.sut.services.test_understudy import a_world


async def test_a_dead_sequencers_partition_stood_still(tmp_path: Path) -> None:
    async with a_world(tmp_path, kind=Absent) as world:
        await world.say()
        await world.other.server.close()
        await until(lambda: world.link.refused)
        await asyncio.sleep(0.5)
        assert world.workers == {}
        assert await world.stored() == []
