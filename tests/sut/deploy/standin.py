"""A stand-in for one of our services: answers a ping on its peer port, until SIGTERM.

`standin.py TOPOLOGY NAME [stubborn]`; a stubborn one ignores SIGTERM. When told to stop it says when, in ns.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path

from sut.deploy.topology import load
from sut.process.peer import PeerServer


async def main(path: Path, name: str, *, stubborn: bool) -> None:
    topology = load(path)
    service = topology.service(name)
    stop = asyncio.Event()

    def asked() -> None:
        print("stopping", time.monotonic_ns(), flush=True)
        if not stubborn:
            stop.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked)
    server = PeerServer(
        node=name,
        incarnation=time.time_ns() // 1000,
        secret=topology.peer_secret,
        on_frame=lambda _link, _number, _frame: None,
    )
    await server.start(service.host, service.ports["peer"])
    await stop.wait()
    await server.close()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2], stubborn="stubborn" in sys.argv))
