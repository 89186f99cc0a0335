#!/usr/bin/env bash
# polars drops a field of NDJSON without a word if the first 100 lines do not have it.
#
# Version:   polars 2.1.0
# Guess:     As with a type that changes late: an error that names the line, or the field with nulls before it.
# Behaviour: The schema comes from the first 100 lines. A value of another type later is an error. A field that first
#            comes later is dropped, in read_ndjson and scan_ndjson, without error or warning: an `error` that no
#            event of the first 100 carries is gone from a history of events.
# Seen:      error in line 100: columns ['seq', 'error']
#            error in line 101: columns ['seq']
#            other type in line 101: ComputeError
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0

"$work/venv/bin/python" -W error - <<'PY'
import io
import json
import sys

import polars as pl


def history(special, at):
    """200 lines of events; the one with number `at`, counted from 1, is `special`."""
    return "\n".join(json.dumps(special if line == at else {"seq": line}) for line in range(1, 201)).encode()


late = {"seq": 0, "error": "refused"}
kept = pl.read_ndjson(io.BytesIO(history(late, 100))).columns
dropped = pl.read_ndjson(io.BytesIO(history(late, 101))).columns
scanned = pl.scan_ndjson(io.BytesIO(history(late, 101))).collect().columns
try:
    pl.read_ndjson(io.BytesIO(history({"seq": 1.5}, 101)))
    mistyped = "no error"
except pl.exceptions.ComputeError:
    mistyped = "ComputeError"
print("error in line 100: columns", kept)
print("error in line 101: columns", dropped, "scanned:", scanned)
print("other type in line 101:", mistyped)
same = (kept, dropped, scanned, mistyped) == (["seq", "error"], ["seq"], ["seq"], "ComputeError")
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
