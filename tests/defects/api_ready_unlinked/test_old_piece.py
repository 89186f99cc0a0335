"""An API process whose sequencer is away: does it say that it is ready?"""

import asyncio
import contextlib
from pathlib import Path

import msgspec
import pytest

from sut.deploy.topology import Service, Settings, Topology, save
from sut.process.peer import ping
from sut.services.api import process
from tests.defects.api_ready_unlinked import old_piece
from tests.sut.gateway.world import free_ports


async def ready(directory: Path) -> bool:
    """Return whether the API calls itself ready within a second, without any sequencer."""
    http, peer, sequencer = free_ports(3)
    topology = Topology(
        run_id="test",
        profile="embedded",
        dir=str(directory),
        token_key=bytes(range(32)).hex(),
        api_key="key",
        settings=msgspec.convert({}, Settings),
        services=(
            Service(name="api-1", kind="api", ports={"http": http, "peer": peer}),
            Service(name="sequencer-1", kind="sequencer", ports={"peer": sequencer}),
        ),
    )
    save(topology)
    stop = asyncio.Event()
    serving = asyncio.create_task(process.serve(topology, topology.service("api-1"), 1, stop))
    try:
        for _ in range(10):
            await asyncio.sleep(0.1)
            with contextlib.suppress(OSError):
                if (await asyncio.to_thread(ping, "127.0.0.1", peer, 2.0)).stats["ready"]:
                    return True
        return False
    finally:
        stop.set()
        await serving


@pytest.mark.parametrize("old", [True, False], ids=["old", "present"])
def test_ready_without_a_sequencer(old: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if old:
        monkeypatch.setattr(process, "_linked", old_piece.linked)
    assert asyncio.run(ready(tmp_path)) is old
