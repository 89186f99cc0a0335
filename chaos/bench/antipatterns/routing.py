"""How a message finds the gateway of its recipient: told to all gateways, or to the one that a registry names.

Gateways are sockets of one process, a registry is a socket of another server in it. The router asks the registry for
each message, or writes to all. The figure is the CPU of both processes for a message, at two numbers of gateways.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Final

from chaos.bench.antipatterns.pattern import Figure, Pattern, Place, Result, child

SIZES: Final = (8, 64)
MESSAGES: Final = 600
BODY: Final = bytes(250)
WRONG: Final = "each message to all gateways"
RIGHT: Final = "a registry, and one gateway"


async def serve() -> None:
    """Be the largest number of gateways, and a registry, until standard input ends."""

    async def gateway(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 16):
            pass  # a frame for a user whom this gateway may not have: it looks, and drops it

    async def registry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while user := await reader.readline():
            writer.write(b"%d\n" % (int(user) % max(SIZES)))

    servers = [await asyncio.start_server(gateway, "127.0.0.1", 0) for _ in range(max(SIZES))]
    servers.append(await asyncio.start_server(registry, "127.0.0.1", 0))
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)  # noqa: T201
    await asyncio.get_running_loop().run_in_executor(None, os.read, 0, 1)


async def _route(ports: list[int], gateways: int, *, broadcast: bool) -> None:
    *others, registry = ports
    links = [(await asyncio.open_connection("127.0.0.1", port))[1] for port in others[:gateways]]
    reader, writer = await asyncio.open_connection("127.0.0.1", registry)
    for number in range(MESSAGES):
        if broadcast:
            for link in links:
                link.write(BODY)
        else:
            writer.write(b"%d\n" % number)
            links[int(await reader.readline()) % gateways].write(BODY)
        await asyncio.gather(*(link.drain() for link in links)) if broadcast else await asyncio.sleep(0)
    for link in (*links, writer):
        link.close()


def _cpu_ms(gateways: int, *, broadcast: bool) -> float:
    with child(__name__, "serve") as server:
        ports = [int(port) for port in server.line.split()]
        before_s, own_s = server.cpu_s(), time.process_time()
        asyncio.run(_route(ports, gateways, broadcast=broadcast))
        time.sleep(0.5)  # what was written is read
        return 1000 * (server.cpu_s() - before_s + time.process_time() - own_s) / MESSAGES


def measure(place: Place) -> Result:
    """Measure both at a small and a large number of gateways."""
    figures = []
    for gateways in reversed(SIZES):
        place.say(f"{gateways} gateways")
        wrong, right = _cpu_ms(gateways, broadcast=True), _cpu_ms(gateways, broadcast=False)
        figures.append(Figure(name=f"{gateways} gateways: CPU a message, ms", wrong=wrong, right=right))
    figures.append(Figure(name=f"{max(SIZES)} gateways: frames a message", wrong=float(max(SIZES)), right=1.0))
    return Result(
        name=PATTERN.name, wrong=WRONG, right=RIGHT, figures=tuple(figures),
        where_wrong_wins="with two or three gateways all of them are told for less than one question costs",
    )  # fmt: skip


PATTERN: Final = Pattern(name="broadcast", wrong=WRONG, right=RIGHT, measure=measure)

if __name__ == "__main__":
    asyncio.run(serve())
