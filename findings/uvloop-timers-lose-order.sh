#!/usr/bin/env bash
# uvloop rounds every delay to whole milliseconds: short sleeps do not sleep, and timers fire in the wrong order.
#
# Version:   uvloop 0.23.0 (libuv), beside CPython's asyncio
# Guess:     Delays are microseconds, as in asyncio. asyncio.sleep(0.0004) pauses at least 0.4 ms, and of two timers
#            the one that is due first fires first.
# Behaviour: A delay below 0.5 ms becomes 0: a pacer of 2500 messages/s that sleeps 0.4 ms between two sends sends
#            without a pause. Delays of 0.6, 1.1 and 1.4 ms all become 1 ms and fire in the order of their calls.
# Seen:      asyncio 1000 sleeps of 0.4 ms: over 400 ms, timers 0.6 1.1 1.4
#            uvloop  1000 sleeps of 0.4 ms: under 100 ms, timers 1.4 1.1 0.6
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uvloop==0.23.0

"$work/venv/bin/python" - <<'PY'
import asyncio
import sys
import time

import uvloop

SLEEPS = 1000


async def sleeps_s():
    began = time.perf_counter()
    for _ in range(SLEEPS):
        await asyncio.sleep(0.0004)
    return time.perf_counter() - began


async def order():
    """The delays of three timers, called with the longest first, in the order in which they fire."""
    fired = []
    loop = asyncio.get_running_loop()
    for delay_ms in (1.4, 1.1, 0.6):
        loop.call_later(delay_ms / 1000, fired.append, delay_ms)
    await asyncio.sleep(0.05)
    return fired


seen = {}
for name, run in (("asyncio", asyncio.run), ("uvloop", uvloop.run)):
    slept_s = run(sleeps_s())
    orders = [run(order()) for _ in range(10)]
    wrong = sum(fired == [1.4, 1.1, 0.6] for fired in orders)
    seen[name] = slept_s, wrong
    print(f"{name:7} {SLEEPS} sleeps of 0.4 ms: {slept_s * 1000:.0f} ms; timers in reverse: {wrong} of 10 times")
floor_s = SLEEPS * 0.0004
same = seen["asyncio"][0] >= floor_s > seen["uvloop"][0] and seen["asyncio"][1] == 0 and seen["uvloop"][1] >= 5
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
