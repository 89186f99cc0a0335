"""Run by tests: a gateway in a process of its own, with a registry in memory. Ends on SIGTERM, or with its parent."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from sut.deploy.topology import load
from sut.gateway.gateway import Gateway
from sut.gateway.pieces import GatewayPieces
from sut.gateway.process import max_sockets, run
from tests.sut.gateway.world import PACE, MemoryRegistry


async def main(directory: Path, parent: int) -> None:
    """Serve until told to stop, or until the test that started us is gone."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    topology = load(directory / "topology.json")
    service = topology.service("gateway-1")

    async def watch() -> None:
        while os.getppid() == parent:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        stop.set()

    watching = asyncio.create_task(watch())
    pieces = GatewayPieces(pace=PACE)
    gateway = Gateway(
        topology, service, incarnation=77, registry=MemoryRegistry(), max_sockets=max_sockets(), pieces=pieces
    )
    await run(gateway, stop)
    watching.cancel()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2])))
