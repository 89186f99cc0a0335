#!/usr/bin/env bash
# A Chaos Toolkit experiment whose only fault could not be injected ends as "completed", exit code 0.
#
# Version:   chaostoolkit 1.19.0, chaostoolkit-lib 1.44.0
# Guess:     The action that kills the broker raises. The experiment is "failed" and `chaos run` exits non-zero.
# Behaviour: The failed action is one line in the log and in the journal. The steady state still holds, as nothing was
#            broken: status "completed", deviated false, exit code 0. A pipeline that looks at the exit code sees a
#            system that withstood a fault which never happened.
# Seen:      action failed, experiment completed, deviated False, exit code 0
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check chaostoolkit==1.19.0 chaostoolkit-lib==1.44.0
cd "$work"

cat >faults.py <<'PY'
"""One fault that cannot be injected, and a probe that always holds."""


def kill_broker() -> None:
    raise RuntimeError("no such container")


def answers() -> bool:
    return True
PY

cat >experiment.json <<'JSON'
{
  "title": "The chat survives the death of a broker",
  "description": "Kill one broker and ask again.",
  "steady-state-hypothesis": {
    "title": "It answers",
    "probes": [{
      "type": "probe", "name": "answers", "tolerance": true,
      "provider": {"type": "python", "module": "faults", "func": "answers"}
    }]
  },
  "method": [{
    "type": "action", "name": "kill-broker",
    "provider": {"type": "python", "module": "faults", "func": "kill_broker"}
  }],
  "rollbacks": []
}
JSON

code=0
HOME=$work PYTHONPATH=$work venv/bin/chaos --no-version-check run experiment.json >run.log 2>&1 || code=$?
venv/bin/python - "$code" <<'PY'
import json
import sys

with open("journal.json") as file:
    journal = json.load(file)
action = journal["run"][0]["status"]
print(f"action {action}, experiment {journal['status']}, deviated {journal['deviated']}, exit code {sys.argv[1]}")
same = (action, journal["status"], journal["deviated"], sys.argv[1]) == ("failed", "completed", False, "0")
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
