"""A small chat of somebody else: server.py PORT FILE [lossy]. JSON over a WebSocket, one file for all messages.

lossy: it answers before it writes, and writes only each minute, so that a crash loses what was acknowledged.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from aiohttp import WSMsgType, web

PORT, FILE, LOSSY = int(sys.argv[1]), Path(sys.argv[2]), "lossy" in sys.argv
MESSAGES: dict[str, list[str]] = {}
UNWRITTEN: list[str] = []
SOCKETS: set[web.WebSocketResponse] = set()
TASKS: set[asyncio.Task] = set()


def keep(line: str) -> None:
    with FILE.open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


async def later() -> None:
    while True:
        await asyncio.sleep(60)
        while UNWRITTEN:
            keep(UNWRITTEN.pop(0))


async def chat(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(heartbeat=2)
    if not socket.can_prepare(request):
        return web.Response(text="a chat\n")
    await socket.prepare(request)
    SOCKETS.add(socket)
    try:
        async for frame in socket:
            if frame.type == WSMsgType.TEXT:
                await hear(socket, json.loads(frame.data))
    finally:
        SOCKETS.discard(socket)
    return socket


async def hear(socket: web.WebSocketResponse, said: dict) -> None:
    lines = MESSAGES.setdefault(said["room"], [])
    if "after" in said:
        page = [[number, text] for number, text in enumerate(lines, 1) if number > said["after"]]
        await socket.send_json({"id": said["id"], "page": page})
        return
    line = json.dumps([said["room"], said["text"]])
    UNWRITTEN.append(line) if LOSSY else keep(line)
    lines.append(said["text"])
    number = len(lines)
    await socket.send_json({"id": said["id"], "number": number})
    for other in [*SOCKETS]:
        task = asyncio.create_task(tell(other, [said["room"], number, said["text"]]))
        TASKS.add(task)
        task.add_done_callback(TASKS.discard)


async def tell(socket: web.WebSocketResponse, message: list) -> None:
    try:
        await socket.send_json({"message": message})
    except (OSError, RuntimeError):
        SOCKETS.discard(socket)


async def begin(_app: web.Application) -> None:
    TASKS.add(asyncio.create_task(later()))


for written in FILE.read_text().splitlines() if FILE.exists() else ():
    MESSAGES.setdefault(json.loads(written)[0], []).append(json.loads(written)[1])
app = web.Application()
app.router.add_get("/", chat)
app.on_startup.append(begin)
web.run_app(app, host="127.0.0.1", port=PORT, print=None)
