"""The counters' names follow Prometheus' conventions, and none of a process's counters lacks a row."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sut.gateway.stats import Stats
from sut.process.metrics.catalogue import CATALOGUE, Counted, Row, families, unnamed
from tests.kit.promtool import promtool

ROWS = [(kind, row) for kind, rows in CATALOGUE.items() for row in rows]
FORBIDDEN_LABELS = {"user", "device", "conv", "conversation", "address", "msg", "token"}


@pytest.mark.parametrize(("kind", "row"), ROWS, ids=[f"{kind}-{row.stat}" for kind, row in ROWS])
def test_a_row_is_named_as_prometheus_asks(kind: str, row: Row) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", row.name)
    assert not row.name.endswith("_total"), "the client adds it"
    assert row.text.endswith(".")
    assert row.label not in FORBIDDEN_LABELS
    assert bool(row.label) == row.stat.endswith("*")


def test_no_name_is_given_twice() -> None:
    names = [(kind, row.name) for kind, row in ROWS]
    assert len(names) == len(set(names))


def test_each_counter_of_a_gateway_is_told_under_its_name() -> None:
    stats = Stats(handshakes=3)
    stats.closed[1006] += 2
    stats.passed_on["send"] += 5
    assert unnamed("gateway", stats.as_gauges()) == set()
    found = {family.name: family for family in families("gateway", stats.as_gauges())}
    assert found["petrel_gateway_handshakes"].samples[0].value == 3
    assert found["petrel_gateway_closes"].samples[0].labels == {"code": "1006"}
    by_type = found["petrel_gateway_forwarded_frames_by_type"].samples
    assert [(sample.labels, sample.value) for sample in by_type] == [({"type": "send"}, 5)]


def test_a_whole_name_goes_before_a_beginning() -> None:
    found = {family.name: family for family in families("push", {"apns_pending": 4, "apns_accepted": 9})}
    assert found["petrel_push_apns_pending"].samples[0].value == 4
    assert [sample.labels for sample in found["petrel_push_apns_answers"].samples] == [{"verdict": "accepted"}]


def test_a_counter_without_a_row_is_seen() -> None:
    assert unnamed("chat", ["appended", "invented"]) == {"invented"}
    assert not families("chat", {"invented": 1.0})


def test_what_is_served_passes_promtool_and_reads_back(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    for kind, rows in CATALOGUE.items():
        stats = {row.stat.replace("*", "x"): 1.0 for row in rows}
        registry.register(Counted(kind, lambda stats=stats: stats))
    told = generate_latest(registry)
    read = list(text_string_to_metric_families(told.decode()))
    assert len(read) == len(ROWS)
    assert promtool("check", "metrics", stdin=told) == ""
