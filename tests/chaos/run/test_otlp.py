"""Traces as OTLP in JSON: read back by OpenTelemetry's own messages, with the hops and ids that they must have."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from chaos.errors import UsageError
from chaos.run import otlp
from chaos.verdict.history.history import load_run
from sut.process.trace import Hop
from sut.protocol.tracing import trace_id
from tests.dashboards.traced import MS, TracedRun, ns

HEX_IDS = ("traceId", "spanId", "parentSpanId")


def spans_of(told: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for resource in told["resourceSpans"]:
        service = resource["resource"]["attributes"][0]["value"]["stringValue"]
        for span in resource["scopeSpans"][0]["spans"]:
            found.setdefault(span["name"], []).append(span | {"service": service})
    return found


def written(path: Path) -> dict[str, Any]:
    stream = io.BytesIO()
    otlp.write(load_run(path), path, stream)
    told: dict[str, Any] = json.loads(stream.getvalue())
    return told


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made = TracedRun(tmp_path)
    for device in (1, 2, 3):
        made.connect(device)
    made.message(3, due_ms=0, readers=(2, 3))
    made.message(4, due_ms=500, readers=(2,))  # not traced
    made.message(7, due_ms=900, readers=(2,), without=(Hop.APPLIED,))
    made.write()
    return tmp_path


def test_a_message_is_one_trace_from_due_to_its_last_display(run: Path) -> None:
    spans = spans_of(written(run))
    (message,) = spans["message"]
    assert message["traceId"] == trace_id(1, 3)
    assert int(message["startTimeUnixNano"]) == ns(0)
    assert {span["traceId"] for many in spans.values() for span in many} == {message["traceId"]}
    assert len(spans["deliver"]) == len(spans["show"]) == 2
    assert len(spans["append"]) == 1
    assert spans["append"][0]["service"] == "petrel-chat"
    assert spans["append"][0]["parentSpanId"] == message["spanId"]
    took_ns = int(spans["append"][0]["endTimeUnixNano"]) - int(spans["append"][0]["startTimeUnixNano"])
    assert took_ns == 4 * MS
    shows = {span["parentSpanId"] for span in spans["show"]}
    assert shows == {span["spanId"] for span in spans["deliver"]}
    assert int(message["endTimeUnixNano"]) == max(int(span["endTimeUnixNano"]) for span in spans["show"])


def test_opentelemetry_reads_it(run: Path) -> None:
    """Its JSON has hexadecimal ids where protobuf's has base64; all else is protobuf's."""
    told = written(run)
    for resource in told["resourceSpans"]:
        for span in resource["scopeSpans"][0]["spans"]:
            for key in HEX_IDS:
                if key in span:
                    span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
    read = json_format.ParseDict(told, TracesData())  # type: ignore[no-untyped-call]
    spans = [span for resource in read.resource_spans for scope in resource.scope_spans for span in scope.spans]
    assert all(len(span.trace_id) == 16 and len(span.span_id) == 8 for span in spans)
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano > 0 for span in spans)
    ids = {span.span_id for span in spans}
    assert len(ids) == len(spans)
    assert all(span.parent_span_id in ids for span in spans if span.parent_span_id)
    assert sum(not span.parent_span_id for span in spans) == 1


def test_a_run_without_traces_is_told_in_one_line(tmp_path: Path) -> None:
    made = TracedRun(tmp_path)
    made.connect(1)
    made.connect(2)
    made.message(4, due_ms=500, readers=(2,))
    made.write()
    with pytest.raises(UsageError, match="no traced message"):
        written(tmp_path)
