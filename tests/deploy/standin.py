"""A stand-in for one of our services: answers a ping on its peer port, until SIGTERM. `standin.py TOPOLOGY NAME`."""

import asyncio
import signal
import sys
import time
from pathlib import Path

from sut.deploy.topology import load
from sut.peer import PeerServer


async def main(path: Path, name: str) -> None:
    service = load(path).service(name)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = PeerServer(node=name, incarnation=time.time_ns() // 1000, on_frame=lambda _link, _number, _frame: None)
    await server.start(service.host, service.ports["peer"])
    await stop.wait()
    await server.close()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
