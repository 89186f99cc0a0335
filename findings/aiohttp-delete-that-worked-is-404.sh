#!/usr/bin/env bash
# aiohttp's client sends a DELETE again when the connection ends before the answer, so one that worked is a 404.
#
# Version:   aiohttp 3.14.5
# Guess:     aiohttp does not retry. A server that is killed after it did the work and before it answered gives
#            ServerDisconnectedError, and the caller knows that the outcome is unknown.
# Behaviour: GET, PUT and DELETE are sent once more on a new connection, for the first request of a session too. The
#            caller gets the second answer and no sign of the first try: a DELETE that worked is reported as 404. POST
#            and PATCH raise ServerDisconnectedError.
# Seen:      DELETE   404                       reached the server 2 times, deleted 1 time
#            PUT      200                       reached the server 2 times
#            GET      200                       reached the server 2 times
#            POST     ServerDisconnectedError   reached the server 1 time
#            PATCH    ServerDisconnectedError   reached the server 1 time
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check aiohttp==3.14.5

"$work/venv/bin/python" - <<'PY'
import asyncio
import sys

import aiohttp


class Room:
    """A server of one message. It obeys the first request of each method and goes away without an answer."""

    def __init__(self):
        self.seen = []
        self.deleted = 0
        self.there = True

    async def serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        method = head.split()[0].decode()
        self.seen.append(method)
        status = b"200 OK"
        if method == "DELETE":
            status = b"204 No Content" if self.there else b"404 Not Found"
            self.deleted += self.there
            self.there = False
        if self.seen.count(method) > 1:
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        writer.close()


async def ask(method, url):
    async with aiohttp.ClientSession() as session:
        try:
            async with session.request(method, url) as response:
                return response.status
        except aiohttp.ClientError as error:
            return type(error).__name__


def times(count):
    return f"{count} time" if count == 1 else f"{count} times"


async def main():
    room = Room()
    got = {}
    async with await asyncio.start_server(room.serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/messages/7"
        for method in ("DELETE", "PUT", "GET", "POST", "PATCH"):
            outcome = await ask(method, url)
            got[method] = (outcome, room.seen.count(method))
            also = f", deleted {times(room.deleted)}" if method == "DELETE" else ""
            print(f"{method:<8} {outcome!s:<25} reached the server {times(got[method][1])}{also}")
    broken = ("ServerDisconnectedError", 1)
    expected = {"DELETE": (404, 2), "PUT": (200, 2), "GET": (200, 2), "POST": broken, "PATCH": broken}
    return got == expected and room.deleted == 1


same = asyncio.run(main())
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
