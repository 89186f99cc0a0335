"""A phone whose network goes away without a FIN, on the real embedded system: it gets its push within 5 s of the ack.

Two ways to be gone while the socket stands: a process under SIGSTOP, and a bare socket that nobody reads. Beside them a
phone that is there and gets none.
"""

import asyncio
import contextlib
import os
import signal
import sys
from typing import Any, cast

import pytest

from sut.deploy.system import System
from sut.protocol import frames as f
from sut.protocol.signals import PresenceNews, Watch
from tests.kit.waits import until
from tests.kit.whole import create, gateways, tokens
from tests.sut.gateway.world import upgrade
from tests.sut.services.push.test_push_system import phone, pushes, register, send

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SENDER, STOPPED, UNREAD, THERE = 7001, 7002, 7003, 7004
BOUND_S = 5.0
PHONE = """
import asyncio, sys, websockets
async def main():
    headers = {"Authorization": "Bearer " + sys.argv[2]}
    async with websockets.connect(sys.argv[1], additional_headers=headers, compression=None) as socket:
        await socket.recv()
        print("connected", flush=True)
        async for _ in socket:
            pass
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def running(silent: System) -> System:
    return silent


async def unread(running: System, token: str) -> asyncio.StreamWriter:
    """A connection that is open, and of which nobody reads a byte."""
    url = gateways(running.topology)[0]
    host, port = url.removeprefix("ws://").partition("/")[0].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(upgrade(token))
    assert b" 101 " in await reader.readline()
    cast("asyncio.Transport", writer.transport).pause_reading()
    return writer


async def read_on(socket: Any, news: list[PresenceNews]) -> None:
    """As a client that is there: every NOTIFY is answered by RECV."""
    async for data in socket:
        frame = f.decode_server(data)
        if isinstance(frame, PresenceNews):
            news.append(frame)
        elif isinstance(frame, f.Notify):
            for entry in frame.entries:
                await socket.send(f.encode(f.Recv(entry.conv, entry.seq)))


def test_half_open_connections_get_their_pushes(running: System) -> None:
    register(running, SENDER, STOPPED, UNREAD, THERE)
    keys = tokens(running.topology, SENDER, STOPPED, UNREAD, THERE)
    conv = create(running.topology, keys[SENDER], "group", [STOPPED, UNREAD, THERE], "half open")

    async def scenario() -> None:
        url = gateways(running.topology)[0]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PHONE, url, keys[STOPPED], stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"connected\n"
        writer = await unread(running, keys[UNREAD])
        news: list[PresenceNews] = []
        waited_s: list[float] = []
        try:
            async with phone(running, keys[SENDER]) as sender, phone(running, keys[THERE]) as there:
                reading = asyncio.create_task(read_on(there, news))
                await there.send(f.encode(Watch((STOPPED, UNREAD, SENDER))))
                await asyncio.sleep(3)
                assert {s.user for n in news for s in n.entries if s.state == 1} == {STOPPED, UNREAD, SENDER}
                os.kill(process.pid, signal.SIGSTOP)
                news.clear()
                seq, acked = await send(running, sender, conv, 1)
                mine = {STOPPED, UNREAD}
                await until(lambda: {p.device for p in pushes(running) if p.conv == conv} >= mine, timeout_s=15)
                await until(lambda: {s.user for n in news for s in n.entries if s.state == 0} >= mine, timeout_s=15)
                # A message to who is known to be silent needs no second look.
                again, acked_again = await send(running, sender, conv, 2)
                await until(lambda: {p.device for p in pushes(running) if p.seq >= again} >= mine, timeout_s=15)
                for number, at in ((seq, acked), (again, acked_again)):
                    for device in mine:
                        first = min(p.t for p in pushes(running) if p.device == device and p.seq >= number)
                        waited_s.append((first - at) / 1e9)
                print("pushed after", waited_s)
                assert max(waited_s) <= BOUND_S
                assert {p.device for p in pushes(running)} == mine
                reading.cancel()
        finally:
            writer.close()
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            await process.wait()

    asyncio.run(scenario())
