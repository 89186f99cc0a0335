#!/usr/bin/env bash
# Locust calls the listeners of `quitting` in reverse: of two that set the exit code, the first one registered wins.
#
# Version:   locust 2.47.0
# Guess:     Listeners of an event are called in the order in which they were added, as those of `init`, `test_start`
#            and `test_stop` are. So a file may correct the exit code that a module set which it imports.
# Behaviour: `quitting`, the event at which the documentation has process_exit_code set, runs backwards. The listener
#            of the imported module is called last, and its exit code is the process's.
# Seen:      init: module, file    test_start: module, file    test_stop: module, file    quitting: file, module
#            the module sets 0, the file sets 3: exit status 0
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check locust==2.47.0

cat > "$work/gate.py" <<'PY'
"""A module with a gate for everybody: exit status 0 unless too many requests failed (none are made here)."""
import sys

from locust import events


def note(event, who):
    print(f"SEEN {event} {who}", file=sys.stderr)


for name in ("init", "test_start", "test_stop"):
    getattr(events, name).add_listener(lambda name=name, **_: note(name, "module"))


@events.quitting.add_listener
def gate(environment, **_):
    note("quitting", "module")
    environment.process_exit_code = 0 if environment.stats.total.fail_ratio < 0.5 else 1
PY
cat > "$work/locustfile.py" <<'PY'
from gate import note
from locust import User, constant, events, task


class Resting(User):
    wait_time = constant(0.1)

    @task
    def rest(self):
        pass


for name in ("init", "test_start", "test_stop"):
    getattr(events, name).add_listener(lambda name=name, **_: note(name, "file"))


@events.quitting.add_listener
def stricter(environment, **_):
    note("quitting", "file")
    environment.process_exit_code = 3
PY
cd "$work"
status=0
"$work/venv/bin/locust" --headless --only-summary -u 1 -r 1 -t 2s --stop-timeout 1 2> "$work/log" > /dev/null || status=$?
"$work/venv/bin/python" - "$work/log" "$status" <<'PY'
import sys

order = {}
for line in open(sys.argv[1]):
    if line.startswith("SEEN "):
        _, event, who = line.split()
        order.setdefault(event, []).append(who)
print("    ".join(f"{event}: {', '.join(who)}" for event, who in order.items()))
print(f"the module sets 0, the file sets 3: exit status {sys.argv[2]}")
forward = ["module", "file"]
expected = {"init": forward, "test_start": forward, "test_stop": forward, "quitting": forward[::-1]}
same = order == expected and sys.argv[2] == "0"
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
