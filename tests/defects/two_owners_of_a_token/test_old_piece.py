"""A device that connects to a second gateway: does its connection on the first one end?"""

from pathlib import Path

import pytest

from sut.gateway.registrar import Pace
from sut.ports import Route
from sut.protocol.frames import Close
from tests.defects.two_owners_of_a_token.old_piece import NotTold
from tests.sut.gateway.world import MemoryRegistry, World, in_world

RARELY = Pace(refresh_s=3600, retry_s=(0.01, 0.05))


def take_over(directory: Path) -> int:
    """Return the code with which the first connection is closed. Raises TimeoutError when it stays."""
    codes = []

    async def scenario(world: World) -> None:
        async with world.device(1, 11) as first:
            mine = world.registry.entries[1, 11]
            world.registry.entries[1, 11] = Route(11, "gateway-2", 1, 9, mine.epoch + 1)
            world.registry.elsewhere = [mine.conn]
            codes.append((await first.closed(timeout_s=3.0))[0])

    in_world(scenario, directory, pace=RARELY, lease_ttl_s=0.6)
    return codes[0]


def test_with_the_old_piece_both_stay_connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryRegistry, "replaced", NotTold.replaced)
    with pytest.raises(TimeoutError):
        take_over(tmp_path)


def test_the_present_piece_closes_the_first(tmp_path: Path) -> None:
    assert take_over(tmp_path) == Close.REPLACED
