#!/usr/bin/env bash
# gevent's joinall(), wait() and spawn_later() count from before the work that a greenlet has just done.
#
# Version:   gevent 26.9.0 (its loop on Linux, libev)
# Guess:     joinall(timeout=0.5) waits 0.5 s for unfinished greenlets, and spawn_later(0.5) runs 0.5 s from now, as
#            sleep(), Timeout, Event.wait() and Greenlet.join() do.
# Behaviour: joinall(), wait(), iwait() and spawn_later() still take the time at which the loop last woke up. After a
#            computation as long as the limit they do not wait at all: joinall() says at once that none has finished.
# Seen:      after 0.6 s of work, a limit of 0.5 s:
#            sleep 0.5 s    Timeout 0.5 s    Event.wait 0.5 s    Greenlet.join 0.5 s
#            joinall 0.0 s    wait 0.0 s    iwait 0.0 s    spawn_later 0.0 s
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check gevent==26.9.0

GEVENT_LOOP=libev-cext "$work/venv/bin/python" - <<'PY'
import sys
import time

import gevent
from gevent.event import Event

LIMIT_S = 0.5


def compute(seconds):
    """Keep the processor busy, as the parsing of a large answer does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def with_timeout():
    with gevent.Timeout(LIMIT_S, False):
        gevent.sleep(10)


busy = [gevent.spawn(gevent.sleep, 10) for _ in range(2)]
waits = {
    "sleep": lambda: gevent.sleep(LIMIT_S),
    "Timeout": with_timeout,
    "Event.wait": lambda: Event().wait(LIMIT_S),
    "Greenlet.join": lambda: busy[0].join(LIMIT_S),
    "joinall": lambda: gevent.joinall(busy, timeout=LIMIT_S),
    "wait": lambda: gevent.wait(busy, timeout=LIMIT_S),
    "iwait": lambda: list(gevent.iwait(busy, timeout=LIMIT_S)),
    "spawn_later": lambda: gevent.spawn_later(LIMIT_S, int).join(),
}
took = {}
for name, wait in waits.items():
    gevent.sleep(0.01)  # the loop looks at the clock
    compute(LIMIT_S + 0.1)
    began = time.monotonic()
    wait()
    took[name] = time.monotonic() - began
print(f"after {LIMIT_S + 0.1} s of work, a limit of {LIMIT_S} s:")
print("    ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items()))
early = [name for name, seconds in took.items() if seconds < LIMIT_S / 2]
same = early == ["joinall", "wait", "iwait", "spawn_later"] and not any(greenlet.dead for greenlet in busy)
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
