#!/usr/bin/env bash
# A polars expression that is used three times in the next one is copied three times: eight steps are 6,561 copies.
#
# Version:   polars 2.1.0
# Guess:     an expression is a shared immutable object. A chain of n steps, each of which uses the step before it
#            several times, has n nodes, and common subexpressions are computed once: the cost is linear in n.
# Behaviour: the plan is a tree. Each step multiplies its size by the number of uses, before anything is optimised, and
#            so do time and memory, whatever the number of rows. The same steps as columns of a frame cost nothing.
# Seen:      steps   bytes of the expression   ratio   seconds on 1,000 rows   the same as 8 columns
#            5         23,968
#            6         72,082                  3.01
#            7        216,424                  3.00
#            8        649,450                  3.00    0.15                    0.001
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0

"$work/venv/bin/python" - <<'PY'
import sys
import time

import polars as pl

STEPS = 8
frame = pl.DataFrame({"a": list(range(1000))})


def moved(bound, step):
    """The bound, raised to `step` where it is below: `bound` is used three times."""
    return pl.when(bound < step).then(pl.max_horizontal(bound, pl.lit(step))).otherwise(bound)


sizes = []
expression = pl.col("a")
for step in range(STEPS):
    expression = moved(expression, step)
    sizes.append(len(expression.meta.serialize()))
ratios = [after / before for before, after in zip(sizes[4:], sizes[5:])]
for steps, ratio in zip(range(6, STEPS + 1), ratios, strict=True):
    print(f"{steps} steps: {sizes[steps - 1]:,} bytes, {ratio:.2f} times the step before")

began = time.perf_counter()
one = frame.select(expression)
at_once_s = time.perf_counter() - began
began = time.perf_counter()
for step in range(STEPS):
    frame = frame.with_columns(a=moved(pl.col("a"), step))
by_step_s = time.perf_counter() - began
print(f"one expression {at_once_s:.3f} s, a column for each step {by_step_s:.3f} s, the same values: {one.equals(frame)}")

same = all(2.9 < ratio < 3.1 for ratio in ratios) and at_once_s > 10 * by_step_s and one.equals(frame)
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
