#!/usr/bin/env bash
# A gevent Timeout that is cancelled and started again has only the seconds that it had left.
#
# Version:   gevent 26.9.0 (its loop on Linux, libev), cffi 2.0.0
# Guess:     cancel() and start() begin the whole time again: the documentation says that a cancelled Timeout can be
#            started again. A watchdog of 1 s, renewed with each message, ends a connection after 1 s of silence.
# Behaviour: On libev the timer goes on from where it stopped. The watchdog ends a connection 1 s after it was first
#            started, however many messages came since. A new Timeout has its whole time. With libuv, the other loop of
#            gevent, the same Timeout begins anew.
# Seen:      a message every 0.3 s for 1.8 s, a watchdog of 1.0 s:
#            libev, the same Timeout    ended after 1.0 s
#            libev, a new Timeout       lived through
#            libuv, the same Timeout    lived through
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check gevent==26.9.0 cffi==2.0.0

cat >"$work/watchdog.py" <<'PY'
"""Print how long a watchdog of 1 s, renewed every 0.3 s, lets a connection live."""

import sys
import time

import gevent


def renewed(watchdog):
    if sys.argv[1] == "same":
        watchdog.cancel()
    else:
        watchdog.close()
        watchdog = gevent.Timeout(1.0)
    watchdog.start()
    return watchdog


began = time.monotonic()
watchdog = gevent.Timeout(1.0)
watchdog.start()
try:
    for _ in range(6):
        gevent.sleep(0.3)
        watchdog = renewed(watchdog)
    watchdog.close()
    print("lived through")
except gevent.Timeout:
    print(f"ended after {time.monotonic() - began:.1f} s")
PY

echo "a message every 0.3 s for 1.8 s, a watchdog of 1.0 s:"
libev_same=$(GEVENT_LOOP=libev-cext "$work/venv/bin/python" "$work/watchdog.py" same)
echo "libev, the same Timeout    $libev_same"
libev_new=$(GEVENT_LOOP=libev-cext "$work/venv/bin/python" "$work/watchdog.py" new)
echo "libev, a new Timeout       $libev_new"
libuv_same=$(GEVENT_LOOP=libuv-cffi "$work/venv/bin/python" "$work/watchdog.py" same)
echo "libuv, the same Timeout    $libuv_same"
if [[ $libev_same == "ended after 1."* && $libev_new == "lived through" && $libuv_same == "lived through" ]]; then
    echo "as stated"
else
    echo "CHANGED"
    exit 1
fi
