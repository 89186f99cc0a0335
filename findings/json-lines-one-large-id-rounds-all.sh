#!/usr/bin/env bash
# One integer that is too large rounds every other one of its column, when pyarrow or DuckDB reads JSON lines.
#
# Version:   pyarrow 26.0.1, DuckDB 2.0.0, polars 2.1.0
# Guess:     A column of ids is int64. An id from 2**63 on makes it uint64 or is an error; DuckDB has HUGEINT for more.
#            No reader changes the integers that fit.
# Behaviour: With one id of 2**63 or more pyarrow makes the whole column double, DuckDB with one of 2**64 or more. All
#            ids above 2**53 are rounded without a word: of 1001 different ones 3 are left. Half of all unsigned 64-bit
#            hashes and span ids are above 2**63. polars takes Int128 and keeps each of them.
# Seen:      1000 ids from 2**62 on, after one of    pyarrow         DuckDB           polars
#            2**62 + 1000                            1001 int64      1001 BIGINT      1001 Int64
#            2**63                                      3 double     1001 HUGEINT     1001 Int128
#            2**64                                      3 double        3 DOUBLE      1001 Int128
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 duckdb==2.0.0 polars==2.1.0
cd "$work"

venv/bin/python - <<'PY'
import sys
from pathlib import Path

import duckdb
import polars
import pyarrow.json

PATH = "history.jsonl"


def with_pyarrow():
    column = pyarrow.json.read_json(PATH)["id"]
    return len(set(column.to_pylist())), str(column.type)


def with_duckdb():
    relation = duckdb.sql(f"select id from read_json('{PATH}')")
    return len({row[0] for row in relation.fetchall()}), str(relation.types[0])


def with_polars():
    column = polars.read_ndjson(PATH)["id"]
    return column.n_unique(), str(column.dtype)


ids = range(2**62, 2**62 + 1000)
readers = (with_pyarrow, with_duckdb, with_polars)
print(f"{'1000 ids from 2**62 on, after one of':<40}{'pyarrow':<16}{'DuckDB':<17}polars")
seen = {}
for name, first in (("2**62 + 1000", 2**62 + 1000), ("2**63", 2**63), ("2**64", 2**64)):
    Path(PATH).write_text("".join(f'{{"id": {number}}}\n' for number in (first, *ids)))
    seen[name] = [read() for read in readers]
    print(f"{name:<40}" + "".join(f"{f'{count:>4} {kind}':<16} " for count, kind in seen[name]).rstrip())
same = seen == {
    "2**62 + 1000": [(1001, "int64"), (1001, "BIGINT"), (1001, "Int64")],
    "2**63": [(3, "double"), (1001, "HUGEINT"), (1001, "Int128")],
    "2**64": [(3, "double"), (3, "DOUBLE"), (1001, "Int128")],
}
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
