"""What this process measures with prometheus-client: durations of hops, of questions to others, and of its own pauses.

Everything is registered in REGISTRY. Labels are names of our own code and services of the topology, so their number is
bounded: no label holds a user, a device, a conversation or an address. An exemplar of a traced message carries the id
of its trace (sut/protocol/tracing.py); only a scraper that asks for OpenMetrics gets it.
"""

from __future__ import annotations

import functools
import gc
import inspect
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Literal, Protocol, TypeVar
from weakref import WeakSet

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from sut.protocol.tracing import is_traced, trace_id

T = TypeVar("T")
HopName = Literal["gateway", "chat", "sequencer", "store", "fetch", "sync", "push", "api"]
"""What each hop takes in, and when it is done:

- gateway: a SEND, until its ACK or NACK is written to the device
- chat: a SEND, until the log has it
- sequencer: a record that was read from the log, until it is numbered and its members are being told
- store: what waits for the store, until it is stored and committed
- fetch, sync: a question of a device to a chat service, until it is answered
- push: one attempt at a provider
- api: a request
"""
BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)
"""0.2 s is the limit of the p99 of a delivery."""
PAUSE_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

# Else each counter and histogram has one more series, with the time of its first use.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_HOP: Final = Histogram(
    "petrel_hop_duration_seconds", "Time that a hop took for one item.", ["hop"], buckets=BUCKETS_S, registry=REGISTRY
)
_HOP_FAILURES: Final = Counter(
    "petrel_hop_failures", "Items that a hop refused or could not finish.", ["hop"], registry=REGISTRY
)
_BACKEND: Final = Histogram(
    "petrel_backend_request_duration_seconds",
    "Time of one question to the log, the store or the registry; to read an idle log waits up to 0.1 s.",
    ["backend", "operation"],
    buckets=BUCKETS_S,
    registry=REGISTRY,
)
_BACKEND_FAILURES: Final = Counter(
    "petrel_backend_request_failures",
    "Questions to the log, the store or the registry that had no answer.",
    ["backend", "operation"],
    registry=REGISTRY,
)
_LINK: Final = Histogram(
    "petrel_link_request_duration_seconds",
    "Time of one question to another process of ours.",
    ["target"],
    buckets=BUCKETS_S,
    registry=REGISTRY,
)
_LINK_FAILURES: Final = Counter(
    "petrel_link_request_failures",
    "Questions to another process of ours that had no answer.",
    ["target"],
    registry=REGISTRY,
)
REQUESTS: Final = Counter(
    "petrel_api_requests", "Requests to the API by route and status.", ["route", "code"], registry=REGISTRY
)
BUNDLES: Final = Counter(
    "petrel_api_key_bundles",
    "Key bundles handed out with a one-time key, and without one as none was left.",
    ["one_time"],
    registry=REGISTRY,
)
LOOP_LAG: Final = Histogram(
    "petrel_event_loop_lag_seconds",
    "How late a timer of 0.1 s was.",
    buckets=PAUSE_BUCKETS_S,
    registry=REGISTRY,
)
LOOP_STALLS: Final = Counter("petrel_event_loop_stalls", "Timers that were more than 0.25 s late.", registry=REGISTRY)
GC_PAUSE: Final = Histogram(
    "petrel_gc_pause_seconds",
    "Time of one garbage collection.",
    ["generation"],
    buckets=PAUSE_BUCKETS_S,
    registry=REGISTRY,
)
STALL_S: Final = 0.25
Gauge("petrel_clock_seconds", "The wall clock of this process.", registry=REGISTRY).set_function(time.time)


class Hop:
    """One hop of this process. Costs some 1 us an item, measured by tests/sut/process/metrics_cost.py."""

    __slots__ = ("_observe", "failed")

    def __init__(self, name: HopName) -> None:
        self._observe = _HOP.labels(name).observe
        self.failed: Final = _HOP_FAILURES.labels(name).inc
        """Count a failure."""

    def took(self, seconds: float) -> None:
        """Count a message or request that this hop handled in so many seconds."""
        self._observe(seconds)

    def took_for(self, seconds: float, device: int, client_seq: int, every: int) -> None:
        """Count one message; a traced one leaves the id of its trace. `every`: as in `is_traced`."""
        if is_traced(device, client_seq, every):
            self._observe(seconds, {"trace_id": trace_id(device, client_seq)})
        else:
            self._observe(seconds)


class Link(Protocol):
    """What is told of a link to another process."""

    target: str
    ups: int

    @property
    def up(self) -> bool:
        """True while it can be used."""


class _Links(Collector):
    def __init__(self) -> None:
        self.open: WeakSet[Link] = WeakSet()

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(
            "petrel_link_up", "1 while the link to another process of ours is up.", labels=["target"]
        )
        ups = CounterMetricFamily("petrel_link_connects", "How often the link came up.", labels=["target"])
        for link in sorted(self.open, key=lambda link: link.target):
            up.add_metric([link.target], float(link.up))
            ups.add_metric([link.target], float(link.ups))
        return up, ups


_LINKS: Final = _Links()
REGISTRY.register(_LINKS)


def opened(link: Link) -> None:
    """Tell of this link until it is closed."""
    _LINKS.open.add(link)


def closed(link: Link) -> None:
    _LINKS.open.discard(link)


@functools.cache
def _answers_of(target: str) -> Callable[[float], None]:
    return _LINK.labels(target).observe


def answered(target: str, seconds: float) -> None:
    """Count an answer of another process."""
    _answers_of(target)(seconds)


def unanswered(target: str) -> None:
    """Count a question to another process that had no answer."""
    _LINK_FAILURES.labels(target).inc()


def loop_was_late(seconds: float) -> None:
    """Count one timer of the event loop."""
    LOOP_LAG.observe(seconds)
    if seconds > STALL_S:
        LOOP_STALLS.inc()


def timed(backend: T, port: type, name: str) -> T:
    """Measure each coroutine method of `port` on this object, which is returned. `name`: of the backend, in labels."""
    for operation, _ in inspect.getmembers(port, inspect.iscoroutinefunction):
        if operation != "close":
            setattr(backend, operation, _measured(getattr(backend, operation), name, operation))
    return backend


def _measured(ask: Callable[..., Awaitable[Any]], backend: str, operation: str) -> Callable[..., Awaitable[Any]]:
    failed = _BACKEND_FAILURES.labels(backend, operation).inc
    # Made at the first answer: for each operation that is never called it would be sixteen series of zeros.
    measure = functools.cache(lambda: _BACKEND.labels(backend, operation).observe)

    @functools.wraps(ask)
    async def measured(*args: Any, **kwargs: Any) -> Any:
        began_s = time.perf_counter()
        try:
            answer = await ask(*args, **kwargs)
        except Exception:
            failed()
            raise
        measure()(time.perf_counter() - began_s)
        return answer

    return measured


def watch_collections() -> None:
    """Measure garbage collections from now on."""
    began_s = 0.0
    observe = {generation: GC_PAUSE.labels(str(generation)).observe for generation in range(3)}

    def look(phase: str, info: dict[str, int]) -> None:
        nonlocal began_s
        if phase == "start":
            began_s = time.perf_counter()
        else:
            observe[info["generation"]](time.perf_counter() - began_s)

    gc.callbacks.append(look)
