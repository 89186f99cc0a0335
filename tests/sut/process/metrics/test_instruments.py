"""What is measured: hops with exemplars of traced messages, backends by operation, links, and late event loops."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import pytest
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from sut.process.metrics import instruments
from sut.process.metrics.instruments import REGISTRY, Hop, timed
from sut.protocol.tracing import trace_id


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_traced_message_leaves_its_trace_and_others_do_not() -> None:
    hop = Hop("chat")
    hop.took_for(0.004, 1, 2, 16)
    told = text_string_to_metric_families(generate_latest(REGISTRY).decode())
    buckets = [s for family in told for s in family.samples if s.name == "petrel_hop_duration_seconds_bucket"]
    assert not any(s.exemplar for s in buckets if s.labels["hop"] == "chat" and s.labels["le"] == "0.005")
    hop.took_for(0.004, 1, 15, 16)
    told = text_string_to_metric_families(generate_latest(REGISTRY).decode())
    (bucket,) = [
        s
        for family in told
        for s in family.samples
        if s.name == "petrel_hop_duration_seconds_bucket" and s.labels == {"hop": "chat", "le": "0.005"}
    ]
    assert bucket.exemplar is not None
    assert bucket.exemplar.labels == {"trace_id": trace_id(1, 15)}
    assert bucket.exemplar.value == 0.004


def test_ids_of_traces_are_those_of_w3c_and_differ() -> None:
    ids = {trace_id(device, number) for device in range(50) for number in range(50)}
    assert len(ids) == 2500
    assert all(len(one) == 32 and int(one, 16) for one in ids)


class _Port(Protocol):
    async def read(self, count: int) -> Sequence[int]: ...

    async def close(self) -> None: ...


class _Store:
    closed = 0

    async def read(self, count: int) -> Sequence[int]:
        if count < 0:
            raise ValueError(count)
        return range(count)

    async def close(self) -> None:
        self.closed += 1


async def test_questions_to_a_backend_are_measured_and_failures_counted() -> None:
    store = timed(_Store(), _Port, "made_up")
    labels = {"backend": "made_up", "operation": "read"}
    assert value("petrel_backend_request_failures_total", **labels) == 0
    assert list(await store.read(3)) == [0, 1, 2]
    with pytest.raises(ValueError, match="-1"):
        await store.read(-1)
    await store.close()
    assert store.closed == 1
    assert value("petrel_backend_request_duration_seconds_count", **labels) == 1
    assert value("petrel_backend_request_failures_total", **labels) == 1
    assert (
        REGISTRY.get_sample_value("petrel_backend_request_duration_seconds_count", labels | {"operation": "close"})
        is None
    )


def test_a_late_loop_is_counted_and_a_very_late_one_as_a_stall() -> None:
    late, stalls = value("petrel_event_loop_lag_seconds_count"), value("petrel_event_loop_stalls_total")
    instruments.loop_was_late(0.01)
    instruments.loop_was_late(0.3)
    assert value("petrel_event_loop_lag_seconds_count") - late == 2
    assert value("petrel_event_loop_stalls_total") - stalls == 1


class _Link:
    def __init__(self) -> None:
        self.target, self.ups, self.up = "chat-9", 3, True


async def test_a_link_is_told_while_it_is_open() -> None:
    link = _Link()
    instruments.opened(link)
    assert value("petrel_link_up", target="chat-9") == 1
    assert value("petrel_link_connects_total", target="chat-9") == 3
    link.up = False
    assert value("petrel_link_up", target="chat-9") == 0
    instruments.closed(link)
    await asyncio.sleep(0)
    assert REGISTRY.get_sample_value("petrel_link_up", {"target": "chat-9"}) is None
