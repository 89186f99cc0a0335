"""Who is told that a user came or went: all contacts, or those who have the user's picture open.

A server process holds a socket for each user. Users come and go in turn. The figures are the frames for one change, and
the CPU of the server for it. `petrel bench presence` measures the same on the whole chat system.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from typing import Final

from chaos.bench.antipatterns.pattern import Figure, Pattern, Place, Result, child

USERS: Final = 400
CONTACTS: Final = 25
VIEWERS: Final = 0.5
"""Open pictures of a user, on average."""
CHANGES: Final = 2000
STATE: Final = bytes(17)
WRONG: Final = f"each change told to {CONTACTS} contacts"
RIGHT: Final = "told to those who look"


async def serve(eager: bool) -> None:
    """Hold the sockets; at the first line of standard input tell all changes, and print the frames written."""
    sockets: list[asyncio.StreamWriter] = []

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sockets.append(writer)
        await reader.read(1)

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await asyncio.get_running_loop().run_in_executor(None, os.read, 0, 1)
    draw, frames = random.Random(3), 0
    for _ in range(CHANGES):
        told = CONTACTS if eager else int(draw.random() < VIEWERS)
        for socket in draw.sample(sockets, told):
            socket.write(STATE)
        frames += told
        await asyncio.sleep(0)
    for socket in sockets:
        await socket.drain()
    print(frames, flush=True)  # noqa: T201
    await asyncio.Event().wait()


async def _user(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read what comes; the connection lives as long as this."""
    try:
        while await reader.read(1 << 16):
            pass
    finally:
        writer.close()


def _told(*, eager: bool) -> tuple[float, float]:
    """Return the frames for a change, and the CPU in ms for it."""

    async def live() -> tuple[float, float]:
        with child(__name__, "eager" if eager else "lazy") as server:
            port = int(server.line)
            links = [await asyncio.open_connection("127.0.0.1", port) for _ in range(USERS)]
            tasks = [asyncio.create_task(_user(*link)) for link in links]
            await asyncio.sleep(0.5)
            before_s = server.cpu_s()
            server.say("")
            frames = int(await asyncio.get_running_loop().run_in_executor(None, server.read))
            used_s = server.cpu_s() - before_s
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return frames / CHANGES, 1000 * used_s / CHANGES

    return asyncio.run(live())


def measure(place: Place) -> Result:
    """Measure both with the same changes."""
    place.say(f"{USERS} users, {CHANGES:,} changes, {CONTACTS} contacts each")
    (wrong_frames, wrong_ms), (right_frames, right_ms) = _told(eager=True), _told(eager=False)
    return Result(
        name=PATTERN.name, wrong=WRONG, right=RIGHT,
        figures=(
            Figure(name="frames for a change", wrong=wrong_frames, right=right_frames),
            Figure(name="server CPU for a change, ms", wrong=wrong_ms, right=right_ms),
        ),
        where_wrong_wins="a picture is there at once when it is opened",
    )  # fmt: skip


PATTERN: Final = Pattern(name="eager_presence", wrong=WRONG, right=RIGHT, measure=measure)

if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1] == "eager"))
