"""What a device's connection costs a system: CPU to open it, memory to hold it, CPU to answer its heartbeats.

A point is the number of devices, on a system of its own. A swarm of the tier fleet connects them and lets them rest.
Memory is PSS. Both are what the processes use beyond the system at rest, which is looked at first. A heartbeat's cost
has a share in it of what the gateway does once a heartbeat interval: it writes the route again, and reports the user.
The swarm runs on the same machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import psutil

from chaos.bench import devices as swarms
from chaos.bench.benches import Bench, Request, running
from chaos.errors import HarnessError
from sut.deploy.probes import probe
from sut.deploy.system import System
from sut.deploy.topology import Settings

DEVICES: Final = (5000, 12_000)
HEARTBEAT_S: Final = 5.0
IDLE_S: Final = 4.0
"""Seconds without devices, before."""
REST_S: Final = 15.0
"""Seconds of heartbeats."""
KINDS: Final = ("gateway", "chat", "sequencer", "redis")
PING_S: Final = 2.0


class Look(NamedTuple):
    """What the processes of each kind have used so far, and the frames that the gateways have read."""

    at_s: float
    cpu_s: Mapping[str, float]
    pss: Mapping[str, int]
    frames: float


def run(request: Request) -> Sequence[Mapping[str, float]]:
    """Return a row per number of devices. Raises HarnessError."""
    return [_point(request, devices) for devices in request.points or DEVICES]


def _point(request: Request, devices: int) -> Mapping[str, float]:
    place = replace(request, directory=request.directory / str(devices))
    place.directory.mkdir()
    with running(place, settings=Settings(heartbeat_s=HEARTBEAT_S)) as system:
        idle = _look(system)
        time.sleep(IDLE_S)
        before = _look(system)
        with swarms.at_rest(system, place, devices, "fleet", heartbeat_s=HEARTBEAT_S) as swarm:
            online = _look(system)
            time.sleep(request.duration_s or REST_S)
            return row(devices, swarm.up_s, idle=idle, before=before, online=online, rested=_look(system))


def row(devices: int, up_s: float, *, idle: Look, before: Look, online: Look, rested: Look) -> Mapping[str, float]:
    """Return the figures of a point. Raises HarnessError if no heartbeat came."""
    beats = rested.frames - online.frames
    if beats <= 0:
        raise HarnessError("no heartbeat came")
    idle_share = {kind: (before.cpu_s[kind] - idle.cpu_s[kind]) / (before.at_s - idle.at_s) for kind in KINDS}

    def used_s(kind: str, since: Look, until: Look) -> float:
        return until.cpu_s[kind] - since.cpu_s[kind] - idle_share[kind] * (until.at_s - since.at_s)

    figures: dict[str, float] = {"devices": devices, "online after s": up_s, "connected/s": devices / up_s}
    for kind in KINDS:
        figures[f"{kind}: us to connect"] = used_s(kind, before, online) / devices * 1e6
    for kind in ("gateway", "redis"):
        figures[f"{kind}: B a device"] = (rested.pss[kind] - before.pss[kind]) / devices
    figures["heartbeats/s"] = beats / (rested.at_s - online.at_s)
    for kind in ("gateway", "redis"):
        figures[f"{kind}: us a heartbeat"] = used_s(kind, online, rested) / beats * 1e6
    return figures


def _look(system: System) -> Look:
    """Raises HarnessError if a process is gone."""
    cpu_s, pss = dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0)
    frames = 0.0
    topology = system.topology
    for service in topology.services:
        pid = system.pid(service.name)
        if service.kind not in cpu_s or pid is None:
            continue
        try:
            process = psutil.Process(pid)
            times = process.cpu_times()
            pss[service.kind] += process.memory_full_info().pss
        except psutil.Error as error:
            raise HarnessError(f"{service.name} is gone: {error}") from None
        cpu_s[service.kind] += times.user + times.system
        if service.kind == "gateway":
            pong = probe.peer_ping((service.host, service.ports["peer"]), PING_S, topology.peer_secret)
            if pong is None:
                raise HarnessError(f"{service.name} does not answer")
            frames += pong.stats["frames_in"]
    return Look(time.monotonic(), cpu_s, pss, frames)


BENCH: Final = Bench(summary="a device's connection: to open it, to hold it, to answer its heartbeats", run=run)
