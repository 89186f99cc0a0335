"""A stand-in for one of our services: answers a ping on its peer port, and health on a gateway's, until SIGTERM.

`standin.py TOPOLOGY NAME [stubborn]`; a stubborn one ignores SIGTERM. When told to stop it says when, in ns.
"""

import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path

from sut.deploy.topology import load
from sut.process.metrics.serving import exposed
from sut.process.peer import PeerServer
from sut.protocol import handshake


async def healthy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(handshake.response(200, "ok"))
    writer.close()


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
    if "ws" in service.ports:
        await asyncio.start_server(healthy, service.host, service.ports["ws"])
    async with exposed(topology, service):
        await stop.wait()
    await server.close()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2], stubborn="stubborn" in sys.argv))
