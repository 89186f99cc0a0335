#!/usr/bin/env bash
# libfaketime replaces CLOCK_MONOTONIC by the faked wall clock, even with an offset of zero.
#
# Version:   PyPI libfaketime 3.0.1 (with its own libfaketime.so.1), CPython's time module
# Guess:     FAKETIME="-1h" moves the wall clock. The monotonic clock stays what it is, the time since the boot; at most
#            it is moved by the same hour.
# Behaviour: Under the preload, time.monotonic() returns seconds since 1970, faked, with "+0s" too. Its values cannot
#            be compared with those of a process beside it. FAKETIME_DONT_FAKE_MONOTONIC=1 or DONT_FAKE_MONOTONIC=1
#            keeps the real one.
# Seen:      no preload               monotonic is the time since the boot
#            +0s                      monotonic is the wall clock
#            -1h                      monotonic is the wall clock
#            -1h, monotonic excepted  monotonic is the time since the boot
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check libfaketime==3.0.1
library=$(find "$work/venv" -name libfaketime.so.1 -print -quit)

cat >"$work/clocks.py" <<'PY'
import time

with open("/proc/uptime") as file:
    since_boot_s = float(file.read().split()[0])
monotonic_s = time.monotonic()
if abs(monotonic_s - time.time()) < 5:
    print("monotonic is the wall clock")
elif abs(monotonic_s - since_boot_s) < 5:
    print("monotonic is the time since the boot")
else:
    print("monotonic is something else")
PY

look() { # look NAME [VARIABLE=VALUE...]
  local name=$1
  shift
  printf '%-24s %s\n' "$name" "$(env "$@" "$work/venv/bin/python" "$work/clocks.py")"
}
{
  look 'no preload'
  look '+0s' "LD_PRELOAD=$library" 'FAKETIME=+0s'
  look '-1h' "LD_PRELOAD=$library" 'FAKETIME=-1h'
  look '-1h, monotonic excepted' "LD_PRELOAD=$library" 'FAKETIME=-1h' FAKETIME_DONT_FAKE_MONOTONIC=1
} | tee "$work/seen"
if diff <(sed -n 's/^# \(Seen: \)\{0,1\} \{5,\}\(.*monotonic is\)/\2/p' "$0") "$work/seen"; then
  echo 'as stated'
else
  echo CHANGED
  exit 1
fi
