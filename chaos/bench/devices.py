"""The memory of a swarm by its size, in both tiers, with all devices online and at rest.

A point is the number of devices. Both tiers run the same population against the same system, one after the other, as
`petrel run` starts them: all processes of the swarm count, Locust's too. Memory is PSS: a page that several processes
share counts once. The figures for a device are what the swarm of the point has more than one of BASE devices, for each
device more. With `--points` below 2 x BASE they say little.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import psutil

from chaos.bench.benches import Bench, Request, running
from chaos.errors import HarnessError
from chaos.run import rundir, swarm
from chaos.run.experiment import Experiment
from load.history.ledger import LedgerReader
from sut.deploy.system import System

DEVICES: Final = (5000, 12_000)
BASE: Final = 100
REST_S: Final = 15.0
"""Seconds online before the look: half a heartbeat."""
RAMP_S: Final = 120.0
SPAWN_PER_S: Final[Mapping[Tier, float]] = {"greenlet": 300.0, "fleet": 8000.0}
Tier = Literal["greenlet", "fleet"]


class Held(NamedTuple):
    """What a swarm of a tier needs. `up_s`: from the first device online to the last."""

    devices: int
    pss: int
    private: int
    up_s: float
    processes: int


def run(request: Request) -> Sequence[Mapping[str, float]]:
    """Return a row per number of devices. Raises HarnessError."""
    with running(request) as system:
        base = {tier: _held(system, request, BASE, tier) for tier in SPAWN_PER_S}
        return [
            row({tier: _held(system, request, devices, tier) for tier in SPAWN_PER_S}, base)
            for devices in request.points or DEVICES
        ]


def row(held: Mapping[Tier, Held], base: Mapping[Tier, Held]) -> Mapping[str, float]:
    """Return the figures of a point. Raises HarnessError if it is not larger than the base."""
    figures: dict[str, float] = {}
    for tier, its in held.items():
        more = its.devices - base[tier].devices
        if more <= 0:
            raise HarnessError(f"a point needs more than {base[tier].devices} devices")
        figures |= {
            "devices": its.devices,
            f"{tier}: processes": its.processes,
            f"{tier}: online after s": its.up_s,
            f"{tier}: MB in all": its.pss / 1e6,
            f"{tier}: KB a device": (its.pss - base[tier].pss) / more / 1e3,
            f"{tier}: private KB a device": (its.private - base[tier].private) / more / 1e3,
        }
    figures["greenlet / fleet"] = figures["greenlet: KB a device"] / figures["fleet: KB a device"]
    return figures


def _held(system: System, request: Request, devices: int, tier: Tier) -> Held:
    """Run a swarm until it is at rest, look at it and end it. Raises HarnessError."""
    with at_rest(system, request, devices, tier) as running_swarm:
        time.sleep(request.duration_s or REST_S)
        pss = private = 0
        for pid in running_swarm.pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                used = psutil.Process(pid).memory_full_info()
                pss, private = pss + used.pss, private + used.uss
        return Held(devices, pss, private, running_swarm.up_s, len(running_swarm.pids))


class Online(NamedTuple):
    """A swarm whose devices are all online, and how long that took."""

    up_s: float
    pids: Collection[int]


@contextlib.contextmanager
def at_rest(
    system: System, request: Request, devices: int, tier: Tier, *, heartbeat_s: float = 30.0
) -> Iterator[Online]:
    """Yield a swarm that is online and sends nothing; end it afterwards. Raises HarnessError."""
    request.say(f"{devices} devices, tier {tier}")
    experiment = Experiment(
        name="devices",
        summary="idle",
        users=devices,
        tier=tier,
        spawn_per_s=SPAWN_PER_S[tier],
        heartbeat_s=heartbeat_s,
        duration_s=600,
        rate_per_s=1 / 600,
        directs_per_user=0.2,
        groups_per_user=0.05,
        churn=0,
        offline_share=0,
    )
    directory = rundir.make(request.directory / f"{tier}-{devices}")
    swarm.configure(experiment, system.topology, directory, seed=1)
    process = swarm.SwarmProcess(experiment, directory, system.environment())
    ledger = LedgerReader(directory.history)
    try:
        began_s, up_s = _came_online(process, ledger, experiment)
        yield Online(up_s - began_s, process.pids().values())
    finally:
        deadline_s = time.monotonic() + 30.0
        process.stop(lambda: time.monotonic() > deadline_s)
        ledger.close()


def _came_online(process: swarm.SwarmProcess, ledger: LedgerReader, experiment: Experiment) -> tuple[float, float]:
    """Wait until all are online. Returns when the first was, and the last, on the monotonic clock."""
    began_s, first_s = time.monotonic(), 0.0
    while (online := ledger.update().online) < experiment.users:
        now_s = time.monotonic()
        if process.deaths() or now_s > began_s + RAMP_S + experiment.users / experiment.spawn_per_s:
            raise HarnessError(f"{online} of {experiment.users} devices came online: {swarm.last_line(process.log)}")
        first_s = first_s or (now_s if online else 0.0)
        time.sleep(swarm.LOOK_S)
    return first_s or began_s, time.monotonic()


BENCH: Final = Bench(summary="the memory of a swarm at rest, by its size and tier", run=run)
