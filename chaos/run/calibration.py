"""What this machine carries, found before a run: the experiment's own swarm, smaller, sends for some seconds.

The run's system is used, and people of its own, whom the run never meets. A rate counts as carried if nearly all that
was due was displayed within IN_TIME_S. If not, the run takes RESERVE of what was displayed in time: faults and their
recovery need the rest. Where the machine carries the experiment nothing changes: the seed makes the same schedule.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from chaos.errors import ChaosError
from chaos.run import experiment as experiments
from chaos.run import rundir, swarm
from chaos.run.experiment import Experiment
from chaos.run.rundir import RunDir
from chaos.run.swarm import SwarmProcess
from chaos.verdict.history import native
from chaos.verdict.history.jsonl import HistoryError
from load.history.control import ControlReader, Phase
from load.history.events import Event
from load.history.writer import now_ns
from load.workload import MAX_USERS
from sut.deploy.topology import Topology

DURATION_S: Final = 6.0
FROM_S: Final = 2.0
"""What was due earlier is not judged: servers that have just started are slow."""
GRACE_S: Final = 1.0
USERS: Final = 200
START_S: Final = 30.0
STOP_S: Final = 5.0
IN_TIME_S: Final = 0.5
ENOUGH: Final = 0.95
RESERVE: Final = 0.7
LEAST: Final = 0.1
"""The lowest rate that a run takes, as a share of what was asked."""
LIGHT_PER_S: Final = 100.0
"""Sends and deliveries a second that any machine carries: a run of no more than that needs no calibration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a calibration showed."""

    asked_per_s: float
    in_time_per_s: float
    """Messages displayed in time."""

    @property
    def carried(self) -> bool:
        """True if nearly all that was due was displayed in time."""
        return self.in_time_per_s >= ENOUGH * self.asked_per_s

    @property
    def rate_per_s(self) -> float:
        """The rate that the run takes."""
        if self.carried:
            return self.asked_per_s
        return float(f"{max(RESERVE * self.in_time_per_s, LEAST * self.asked_per_s):.2g}")

    def line(self) -> str:
        """Say it in a line."""
        told = f"of {self.asked_per_s:g} messages/s {self.in_time_per_s:.3g}/s were displayed within {IN_TIME_S:g} s"
        if self.carried:
            return f"this machine carries it: {told}"
        return f"this machine does not carry it: {told}. The run takes {self.rate_per_s:g}/s; --as-asked takes all"


def is_needed(experiment: Experiment) -> bool:
    """Return True if the experiment asks for so much that a machine may not carry it."""
    return experiment.rate_per_s * (1 + experiment.recipients) > LIGHT_PER_S


def lowered(experiment: Experiment, found: Found) -> Experiment:
    """Return the experiment at the rate that the machine carries; the same one if that is what it asks for."""
    if found.carried:
        return experiment
    return experiments.override(experiment, users=None, duration_s=None, rate=found.rate_per_s)


def measure(
    experiment: Experiment,
    topology: Topology,
    directory: RunDir,
    environ: Mapping[str, str],
    *,
    seed: int,
    over: Callable[[], bool],
) -> Found | None:
    """Let the swarm send; returns None if `over` came true meanwhile. Raises ChaosError if it did not get that far."""
    trial = _trial(experiment)
    place = rundir.make(directory.path / "calibration")
    swarm.configure(trial, topology, place, seed, first_id=1 + MAX_USERS)
    process = SwarmProcess(trial, place, environ)
    try:
        t0_ns = _begun(process, place, over)
        if t0_ns is None:
            return None
        end_ns = t0_ns + round((DURATION_S + GRACE_S) * 1e9)
        while now_ns() < end_ns:
            if over():
                return None
            time.sleep(swarm.LOOK_S)
    finally:
        stopping_s = time.monotonic()
        process.stop(lambda: time.monotonic() - stopping_s > STOP_S)
    in_time = displayed_in_time(sorted(place.history.glob("*.bin")), t0_ns + round(FROM_S * 1e9))
    return Found(asked_per_s=experiment.rate_per_s, in_time_per_s=in_time / (DURATION_S - FROM_S))


def _trial(experiment: Experiment) -> Experiment:
    """The experiment's load, without what makes a run a test."""
    return msgspec.structs.replace(
        experiment,
        users=min(experiment.users, USERS), duration_s=DURATION_S, spawn_per_s=float(USERS), offline_share=0.0,
        silent_share=0.0, churn=0, roles=0, probe_share=0.0, watch_share=0.0, crypto_share=0.0, push=False,
        steps=(1.0,), faults=(),
    )  # fmt: skip


def _begun(process: SwarmProcess, place: RunDir, over: Callable[[], bool]) -> int | None:
    phases = ControlReader(place.history)
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and not process.ended:
        for event in phases.poll():
            if isinstance(event, Phase) and event.name == "steady":
                return event.t
        if over():
            return None
        time.sleep(swarm.LOOK_S)
    raise ChaosError(f"the calibration did not begin: {swarm.last_line(process.log)}")


def displayed_in_time(files: list[Path], from_ns: int) -> int:
    """Return how many messages that were due from `from_ns` on were displayed in time by all that displayed them.

    Raises ChaosError for files that cannot be read.
    """
    try:
        frames = [native.read(path)[0] for path in files]
    except HistoryError as error:
        raise ChaosError(str(error)) from None
    if not frames:
        return 0
    events = pl.concat(frames)
    sends = events.filter((pl.col("e") == Event.SEND - 1) & (pl.col("due") >= from_ns)).select(
        "msg", "due", by="device"
    )
    shows = events.filter(pl.col("e") == Event.SHOW - 1).select("msg", "device", shown="t")
    taken = sends.join(shows, on="msg").filter(pl.col("device") != pl.col("by"))
    latest = taken.group_by("msg").agg(late_ns=(pl.col("shown") - pl.col("due")).max())
    return latest.filter(pl.col("late_ns") <= round(IN_TIME_S * 1e9)).height
