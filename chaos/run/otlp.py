"""Writes traced messages of a run as OTLP in JSON, which Jaeger, Tempo and any OpenTelemetry collector read.

A trace is one message from the moment that its sender wanted to send it, to its display at the recipients. Its spans
are the hops of the report, from the same stamps. The ids of traces are those of the exemplars in Prometheus. Bodies are
in no stamp, so they are in no trace.

OTLP's JSON is not protobuf's: ids are hexadecimal, and times are strings of nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from chaos.errors import UsageError
from load.history.traces import trace_of

if TYPE_CHECKING:
    import polars as pl

    from chaos.verdict.history.history import History

SLOWEST: Final = 100
SPREAD: Final = 200
"""Messages besides, evenly over the run."""
READERS: Final = 8
"""Deliveries of one message, the slowest first."""
_SWARM, _INTERNAL = "swarm", 1
SERVICES: Final = {
    "wait": _SWARM, "repeat": _SWARM, "gateway": "gateway", "chat": "chat", "append": "chat", "apply": "sequencer",
    "notify": "gateway", "receive": _SWARM, "fetch": "chat", "catch-up": "chat", "show": _SWARM,
}  # fmt: skip
"""The service that a hop's span belongs to."""
SHARED: Final = ("wait", "repeat", "gateway", "chat", "append", "apply")
"""Hops of the message; the others are of each delivery."""


def write(history: History, run_dir: Path, stream: IO[bytes]) -> int:
    """Write the traces. Returns the number of messages. Raises UsageError if the run has none, OSError."""
    from dashboards.report.joining import Joined
    from dashboards.report.traces import read_traces

    traces = read_traces(run_dir)
    rows = Joined(history, traces).rows if traces.every and traces.same_clock else None
    if rows is None or not rows.height:
        raise UsageError(f"{run_dir}: no traced message has all its stamps on one clock")
    by_service: dict[str, list[dict[str, Any]]] = {}
    chosen = _chosen(rows)
    for msg in chosen:
        for service, span in _spans(rows.filter(rows["msg"] == msg)):
            by_service.setdefault(service, []).append(span)
    told = {"resourceSpans": [_of_service(service, spans) for service, spans in sorted(by_service.items())]}
    stream.write(msgspec.json.encode(told) + b"\n")
    return len(chosen)


def _chosen(rows: pl.DataFrame) -> list[int]:
    """Return the messages to write: the slowest, and some of all others."""
    import polars as pl

    by_msg = rows.group_by("msg").agg(pl.col("latency_ns").max(), pl.col("due").min()).sort("latency_ns", "msg")
    slowest = by_msg.tail(SLOWEST)["msg"].to_list()
    others = by_msg.head(max(0, by_msg.height - SLOWEST)).sort("due", "msg")["msg"]
    return sorted({*slowest, *others.gather_every(max(1, -(-len(others) // SPREAD))).to_list()})


def _spans(deliveries: pl.DataFrame) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the spans of one message with their services: the message, its hops, and each delivery with its hops."""
    from dashboards.report.hops import HOPS
    from dashboards.report.joining import TIMES

    rows = deliveries.sort("latency_ns", "device", descending=[True, False]).head(READERS).to_dicts()
    first = rows[0]
    trace, root = trace_of(first["msg"]), _span_id(first["msg"], "message")
    about = {"messaging.operation": "send", "petrel.device": first["msg"] >> 32, "petrel.conversation": first["conv"]}
    end = max(row["shown"] for row in rows)
    about["petrel.recipients"] = len(rows)
    yield _SWARM, _span(trace, root, parent="", name="message", at=(first["due"], end), attributes=about)
    for row in rows:
        parent = _span_id(row["msg"], "deliver", row["device"])
        who = {"petrel.device": row["device"], "petrel.conversation": row["conv"]}
        at = row["applied"], row["shown"]
        yield _SWARM, _span(trace, parent, parent=root, name="deliver", at=at, attributes=who)
        for hop, (begin, until) in zip(HOPS, pairwise(TIMES), strict=True):
            if hop.only and not row[hop.only]:
                continue
            shared = hop.name in SHARED
            if shared and row is not first:
                continue
            span = _span_id(row["msg"], hop.name, 0 if shared else row["device"])
            above, at = root if shared else parent, (row[begin], row[until])
            told = {"petrel.hop": hop.what}
            yield SERVICES[hop.name], _span(trace, span, parent=above, name=hop.name, at=at, attributes=told)


def _span(
    trace: str, span: str, *, parent: str, name: str, at: tuple[int, int], attributes: Mapping[str, str | int]
) -> dict[str, Any]:
    """`at`: begin and end, in Unix nanoseconds."""
    told: dict[str, Any] = {
        "traceId": trace,
        "spanId": span,
        "name": name,
        "kind": _INTERNAL,
        "startTimeUnixNano": str(at[0]),
        "endTimeUnixNano": str(at[1]),
        "attributes": [_attribute(key, value) for key, value in attributes.items()],
    }
    return told | ({"parentSpanId": parent} if parent else {})


def _attribute(key: str, value: str | int) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}}


def _of_service(service: str, spans: list[dict[str, Any]]) -> dict[str, Any]:
    name = {"service.name": f"petrel-{service}", "service.namespace": "stormpetrel"}
    return {
        "resource": {"attributes": [_attribute(key, value) for key, value in name.items()]},
        "scopeSpans": [{"scope": {"name": "stormpetrel"}, "spans": spans}],
    }


def _span_id(msg: int, name: str, device: int = 0) -> str:
    return blake2b(f"{msg} {name} {device}".encode(), digest_size=8).hexdigest()
