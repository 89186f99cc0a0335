"""What the processes of a swarm tell each other, and the two objects that all devices of a process share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from load.device.causality import Ties
from load.device.device import Run
from load.history.latency import Histogram
from load.history.recorder import Counters, Recorder
from load.workload import SwarmConfig
from sut.protocol.device.events import ClientSettings


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The leader's message to a process with devices."""

    config: SwarmConfig
    conversations: tuple[int, ...]
    """The ids of the conversations, by place in the population."""
    worker: int = 0
    workers: int = 1
    """This process has the devices with (id - 1) % workers == worker. 0: none yet, it joined late."""


class Report(msgspec.Struct, kw_only=True):
    """The figures of a process while it runs."""

    counters: Counters = msgspec.field(default_factory=Counters)
    ack: dict[str, int] = {}
    show: dict[str, int] = {}
    """Latencies to the ack and to the display, as exported histograms."""


def total(reports: Iterable[Report]) -> tuple[Counters, Histogram, Histogram]:
    """Return counters, latencies to the ack and latencies to the display of all processes together."""
    counters, ack, show = Counters(), Histogram(), Histogram()
    for report in reports:
        counters = counters.plus(report.counters)
        ack.merge(Histogram.load(report.ack))
        show.merge(Histogram.load(report.show))
    return counters, ack, show


def report_of(recorder: Recorder) -> Report:
    """Return the figures of a recorder so far."""
    return Report(counters=recorder.counters, ack=recorder.ack_latency.export(), show=recorder.show_latency.export())


def run_of(config: SwarmConfig, conversations: Sequence[int], recorder: Recorder, ties: Ties | None) -> Run:
    """Return what all devices of a process share; without `ties` they do not keep causal order."""
    return Run(
        seed=config.seed,
        conversations=conversations,
        recorder=recorder,
        ties=ties,
        read_share=config.read_share,
        elastic=config.at_start > 0,
        settings=ClientSettings(reconnect_fixed_s=config.reconnect_fixed_s, renumber=False, rewind=False),
        tracer=config.tracer.encode(),
    )
