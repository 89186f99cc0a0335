#!/usr/bin/env bash
# With some unread messages, close() of a websockets connection takes 10 s, and its keep-alive ends a healthy one.
#
# Version:   websockets 17.4 (asyncio client and server)
# Guess:     close() sends its close frame and has the peer's at once, whatever the program has read. Pings are answered
#            by the library in the background, so a client that is slow to read stays connected.
# Behaviour: Above max_queue (16) unread messages, the library stops reading the socket, control frames included.
#            close() waits for the peer's close frame behind them until close_timeout, 10 s, and ends with 1006, while
#            the peer has seen a clean 1000. A client that reads nothing for ping_interval + ping_timeout is
#            ended by itself with 1011. max_queue=None or a larger one: 0 s and 1000.
# Seen:      10 unread   close 0.0 s, code 1000, server saw 1000
#            100 unread  close 10.0 s, code 1006, server saw 1000
#            100 unread, pings every 1 s: 1011 keepalive ping timeout
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check websockets==17.4

"$work/venv/bin/python" - <<'PY'
import asyncio
import sys
import time

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def main():
    server_saw = asyncio.Queue()

    async def send_many(connection):
        for number in range(int(connection.request.path[1:])):
            await connection.send(str(number))
        await connection.wait_closed()
        server_saw.put_nowait(connection.close_code)

    async with serve(send_many, "127.0.0.1", 0, ping_interval=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        seen = []
        for unread in (10, 100):
            client = await connect(f"{url}/{unread}", ping_interval=None)
            await asyncio.sleep(0.5)
            began = time.monotonic()
            await client.close()
            took_s = time.monotonic() - began
            seen.append((took_s > 5, client.close_code, await server_saw.get()))
            print(f"{unread} unread  close {took_s:.1f} s, code {client.close_code}, server saw {seen[-1][2]}")
        client = await connect(f"{url}/100", ping_interval=1, ping_timeout=1)
        await asyncio.sleep(4)
        try:
            while True:
                await client.recv()
        except ConnectionClosed as error:
            ended = error.sent
        print(f"100 unread, pings every 1 s: {ended.code:d} {ended.reason}")
    return seen == [(False, 1000, 1000), (True, 1006, 1000)] and ended.code == 1011


same = asyncio.run(main())
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
