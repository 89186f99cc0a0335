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
    """The figures of a process while it runs, all since its start: a report that is lost costs nothing."""

    number: int = 0
    """Counts the reports of one process from 1; 0: it is not sent."""
    counters: Counters = msgspec.field(default_factory=Counters)
    ack: dict[str, int] = {}
    show: dict[str, int] = {}
    """Latencies to the ack and to the display, as exported histograms."""


class Reports:
    """The newest report of each process. They are cumulative and numbered, so one that is lost costs nothing."""

    def __init__(self) -> None:
        self._newest: dict[str, Report] = {}
        self.taken = 0
        self.lost = 0
        """Numbers that never came, or came after a later one."""

    def take(self, process: str, report: Report) -> None:
        """Take a report; one that is older than the newest is left out."""
        before = self._newest.get(process)
        if before is not None and report.number <= before.number:
            return
        self.taken += 1
        self.lost += report.number - (before.number if before is not None else 0) - 1
        self._newest[process] = report

    def newest(self) -> list[Report]:
        """Return the newest report of each process."""
        return list(self._newest.values())


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
        settings=ClientSettings(
            reconnect_fixed_s=config.reconnect_fixed_s,
            repeat_fixed_s=config.repeat_fixed_s,
            renumber=False,
            rewind=False,
        ),
        tracer=config.tracer.encode(),
    )
