#!/usr/bin/env bash
# Locust reports a 100 % percentile below the minimum, and two different medians of one distribution.
#
# Version:   locust 2.47.0
# Guess:     Response times are rounded to the millisecond. Ten answers of 104 ms have all percentiles at 104 ms.
# Behaviour: From 100 ms on, percentiles count times rounded to 10 ms, from 1000 ms on to 100 ms; minimum, average,
#            maximum and median_response_time do not. So the percentiles of equal times lie outside [min, max] by up
#            to 5 %, the 50 % percentile is not the median, and a limit at p95 < 1001 ms passes with all at 1049 ms.
# Seen:       ms     min   median      p50      p95     p100     max
#            104     104      104      100      100      100     104
#            149     149      149      150      150      150     149
#           1049    1049     1049     1000     1000     1000    1049
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check locust==2.47.0

"$work/venv/bin/python" - <<'PY'
import sys

from locust.stats import RequestStats

print("  ms     min   median      p50      p95     p100     max")
rows = {}
for time_ms in (104, 149, 1049):
    stats = RequestStats()
    for _ in range(10):
        stats.log_request("WS", "send", time_ms, 0)
    entry = stats.get("send", "WS")
    p50, p95, p100 = (entry.get_response_time_percentile(share) for share in (0.5, 0.95, 1.0))
    rows[time_ms] = (entry.min_response_time, entry.median_response_time, p50, p95, p100, entry.max_response_time)
    print("%4d %7d %8d %8d %8d %8d %7d" % (time_ms, *rows[time_ms]))
same = rows == {
    104: (104, 104, 100, 100, 100, 104),
    149: (149, 149, 150, 150, 150, 149),
    1049: (1049, 1049, 1000, 1000, 1000, 1049),
}
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
