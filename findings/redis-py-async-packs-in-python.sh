#!/usr/bin/env bash
# redis-py with hiredis packs commands in C in its blocking client, and in Python in its asynchronous one.
#
# Version:   redis-py 8.1.0, hiredis 3.5.0
# Guess:     `pip install redis[hiredis]` makes both clients fast: answers are parsed, and commands packed, in C.
# Behaviour: Both parse answers with hiredis. Only the blocking client packs with it. redis.asyncio packs in Python,
#            argument by argument, hiredis or not; hiredis.pack_command() gives the same bytes several times faster.
# Seen:      1,501 arguments in both: the same bytes
#            blocking with C    asyncio with Python    asyncio takes several times as long
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0 hiredis==3.5.0

"$work/venv/bin/python" - <<'PY'
import cProfile
import sys
import time

import redis.asyncio.connection
import redis.connection

COMMAND = ("EVALSHA", *(text for n in range(500) for text in (f"routes:{n}", n, b"packed route of some forty bytes" + b"x" * 9)))
blocking, asyncio = redis.connection.Connection(), redis.asyncio.connection.Connection()
same = b"".join(blocking.pack_command(*COMMAND)) == b"".join(asyncio.pack_command(*COMMAND))
print(f"{len(COMMAND):,} arguments in both: {'the same bytes' if same else 'other bytes'}")


def in_c(pack):
    """Whether hiredis packs, as far as the profiler sees."""
    profile = cProfile.Profile()
    profile.runcall(pack, *COMMAND)
    return any("pack_command" in str(entry.code) and "hiredis" in str(entry.code) for entry in profile.getstats())


def cpu_ms(pack):
    """The least CPU of 20 tries."""
    took = []
    for _ in range(20):
        begun = time.thread_time()
        pack(*COMMAND)
        took.append(time.thread_time() - begun)
    return min(took) * 1000


ways = {True: "with C", False: "with Python"}
first, second = in_c(blocking.pack_command), in_c(asyncio.pack_command)
ratio = cpu_ms(asyncio.pack_command) / cpu_ms(blocking.pack_command)
print(f"blocking {ways[first]}    asyncio {ways[second]}    asyncio takes {'several times as long' if ratio > 2 else 'as long'}")
print(f"(here {ratio:.1f} times)")
print("as stated" if (same, first, second) == (True, True, False) and ratio > 2 else "CHANGED")
sys.exit(not ((same, first, second) == (True, True, False) and ratio > 2))
PY
