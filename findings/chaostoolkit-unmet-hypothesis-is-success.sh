#!/usr/bin/env bash
# A Chaos Toolkit experiment whose steady state is not met at the start does nothing and ends as "completed", exit code 0.
#
# Version:   chaostoolkit 1.19.0, chaostoolkit-lib 1.44.0
# Guess:     The system is not healthy before the method. The log says "failing this experiment", so the status is
#            "failed" and `chaos run` exits with 1.
# Behaviour: The method is not run, as it should be. But the status is "completed" and deviated is false, so the exit
#            code is 0. Only a probe that raises makes it "failed". A probe that returns the wrong value does not.
#            A pipeline that looks at the exit code sees a success in which no fault was injected.
# Seen:      wrong value: completed, deviated False, 0 activities, exit code 0; raises: failed, deviated False, 0
#            activities, exit code 1
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check chaostoolkit==1.19.0 chaostoolkit-lib==1.44.0
cd "$work"

cat >chat.py <<'PY'
"""A chat that does not answer, seen by two probes, and a fault that must not happen then."""
from pathlib import Path


def answers() -> bool:
    return False


def must_answer() -> bool:
    raise ConnectionError("no answer")


def break_it() -> None:
    Path("broken").touch()
PY

run() { # the name of the probe -> one line
  sed "s/PROBE/$1/" >experiment.json <<'JSON'
{
  "title": "The chat survives", "description": "Break it and ask again.",
  "steady-state-hypothesis": {
    "title": "It answers",
    "probes": [{
      "type": "probe", "name": "answers", "tolerance": true,
      "provider": {"type": "python", "module": "chat", "func": "PROBE"}
    }]
  },
  "method": [{
    "type": "action", "name": "break", "provider": {"type": "python", "module": "chat", "func": "break_it"}
  }],
  "rollbacks": []
}
JSON
  local code=0
  HOME=$work PYTHONPATH=$work venv/bin/chaos --no-version-check run experiment.json >run.log 2>&1 || code=$?
  grep -q "not in the given tolerance so failing this experiment" run.log
  test ! -e broken
  venv/bin/python -c 'import json, sys
j = json.load(open("journal.json"))
print(j["status"] + ", deviated", j["deviated"], end=", ")
print(len(j["run"]), "activities, exit code", sys.argv[1])' "$code"
}
value=$(run answers)
raises=$(run must_answer)
echo "wrong value: $value; raises: $raises"
if test "$value" = "completed, deviated False, 0 activities, exit code 0" &&
  test "$raises" = "failed, deviated False, 0 activities, exit code 1"; then
  echo "as stated"
else
  echo CHANGED
  exit 1
fi
