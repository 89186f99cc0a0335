#!/usr/bin/env bash
# Traces that protobuf writes as JSON have ids that OTLP does not know, and OTLP's own ids are read as others.
#
# Version:   opentelemetry-proto 1.45.2, protobuf 7.36.2
# Guess:     OTLP in JSON is the JSON of its protobuf messages: MessageToDict() writes it, ParseDict() reads it.
# Behaviour: Protobuf's JSON has bytes in base64. OTLP's has trace and span ids in hexadecimal. Both are text without a
#            sign of which it is. MessageToDict() writes 24 characters for a trace id of 16 bytes. ParseDict() takes the
#            32 hexadecimal digits for base64, raises nothing, and makes 24 bytes of them. A span id of 8 becomes 12.
# Seen:      written: trace id of 24 characters, span id of 12
#            read:    trace id of 24 bytes, span id of 12, no error
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opentelemetry-proto==1.45.2 protobuf==7.36.2

"$work/venv/bin/python" - <<'PY'
import sys

from google.protobuf.json_format import MessageToDict, ParseDict
from opentelemetry.proto.trace.v1.trace_pb2 import Span

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"  # of OTLP's own example, in hexadecimal

written = MessageToDict(Span(trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(SPAN)))
print(f"written: trace id {written['traceId']!r}, {len(written['traceId'])} characters; OTLP: {TRACE!r}")
read = ParseDict({"traceId": TRACE, "spanId": SPAN}, Span())
print(f"read:    trace id of {len(read.trace_id)} bytes, span id of {len(read.span_id)}, no error; sent: 16 and 8")
same = (
    (len(written["traceId"]), len(written["spanId"])) == (24, 12)
    and written["traceId"] != TRACE
    and (len(read.trace_id), len(read.span_id)) == (24, 12)
    and read.trace_id != bytes.fromhex(TRACE)
)
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
