"""The unit costs of this chat system on this machine, and how it behaves at several sizes.

`petrel estimate --costs` computes with the costs. `petrel simulate --against` is calibrated with the first point and
predicts the others. A point is the number of devices, in 1:1 conversations on one system, one point after the other:

1. They connect: CPU and memory for each.
2. They send at a light rate, in proportion to their number: CPU of a message by kind of process, p50 and p99.
3. They send more than the system carries: the messages a second that are displayed, and the CPU of a message then.
4. All gateways are killed and are back AWAY_S later: the shape of the storm in which a second crowd returns.

CPU counts for processes, not for the machine. `others` is the share of all cores that strangers took meanwhile: what
the system carries depends on it, so a prediction takes it from the measurement.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import psutil

from chaos.bench import reconnect
from chaos.bench.benches import Bench, Crowd, Others, Request, running
from chaos.errors import HarnessError
from load.bench.crowd import Measured, Plan
from load.bench.flood import Span, Told
from sut.deploy.system import System
from sut.deploy.topology import Settings

DEVICES: Final = (200, 100, 400, 1000)
"""The first one calibrates; it is neither the smallest nor the largest, so predictions go both ways."""
LIGHT: Final = 0.1
"""Messages a second of a device in step 2."""
FULL_PER_S: Final = 1500.0
"""Messages a second in step 3: more than two cores carry."""
STEP_S: Final = 8.0
SETTLE_S: Final = 6.0
"""Seconds without new messages after step 3: what is left is worked off."""
BACK_BY_S: Final = 60.0
KINDS: Final = ("gateway", "chat", "sequencer", "redis")
UNHINDERED: Final = Settings(device_cpu_share=1.0, push=False)
"""One device may send as fast as it is answered. Nobody is away, so nothing is pushed."""
SPACING: Final = 20_000


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What the processes have used so far."""

    at_s: float
    cpu_s: Mapping[str, float]
    """CPU seconds by kind of service; `crowd` is the load's own."""
    pss: Mapping[str, int]

    @property
    def all_s(self) -> float:
        """The CPU seconds of all of them."""
        return sum(self.cpu_s.values())


def run(request: Request) -> Sequence[Mapping[str, float]]:
    """Return a row per number of devices. Raises HarnessError."""
    with running(request, settings=UNHINDERED) as system:
        points = request.points or DEVICES
        return [_point(system, request, devices, 1 + SPACING * place) for place, devices in enumerate(points)]


def _point(system: System, request: Request, devices: int, first_user: int) -> Mapping[str, float]:
    step_s = request.duration_s or STEP_S
    topology, log = system.topology, request.directory / "logs" / "crowd.log"
    plan = Plan(api_url=topology.api_url, api_key=topology.api_key, first_user=first_user, users=devices)
    request.say(f"{devices} devices: they connect")
    before = _used(system, None)
    crowd = Crowd("flood", plan, log=log, module="load.bench.flood")
    try:
        crowd.wait_until_ready()
        begun = _used(system, crowd)
        others = Others(system, crowd)
        request.say(f"{devices} devices: {LIGHT * devices:g} messages/s")
        light = _ask(crowd, LIGHT * devices, step_s)
        calm, calm_others = _used(system, crowd), others.share()
        request.say(f"{devices} devices: as much as the system carries")
        full = _ask(crowd, FULL_PER_S, step_s)
        ended, full_others = _used(system, crowd), others.share()
        _ask(crowd, 0.0, SETTLE_S)
    finally:
        crowd.close()
    figures: dict[str, float] = {"devices": devices}
    figures |= connecting(devices, before, begun)
    figures |= talking("light", light, begun, calm, calm_others)
    figures |= talking("full", full, calm, ended, full_others)
    return figures | storm(_storm(system, request, devices, first_user + SPACING // 2))


def _ask(crowd: Crowd, rate_per_s: float, duration_s: float) -> Told:
    span = Span(rate_per_s=rate_per_s, duration_s=duration_s)
    return msgspec.json.decode(crowd.ask(msgspec.json.encode(span).decode()), type=Told)


def _storm(system: System, request: Request, devices: int, first_user: int) -> Measured:
    request.say(f"{devices} devices: all gateways are killed")
    plan = Plan(
        api_url=system.topology.api_url,
        api_key=system.topology.api_key,
        first_user=first_user,
        users=devices,
        duration_s=BACK_BY_S,
    )
    crowd = Crowd("cut_off", plan, log=request.directory / "logs" / "crowd.log", module="load.bench.rush")
    try:
        crowd.wait_until_ready()
        crowd.begin()
        reconnect.kill_gateways(system)
        return crowd.result()
    finally:
        crowd.close()


def connecting(devices: int, before: Used, online: Used) -> dict[str, float]:
    """Return what one device cost to connect, conversations included, and what it holds."""
    return {
        f"{kind}: us to connect": (online.cpu_s[kind] - before.cpu_s[kind]) / devices * 1e6
        for kind in ("gateway", "redis")
    } | {f"{kind}: B a device": (online.pss[kind] - before.pss[kind]) / devices for kind in ("gateway", "redis")}


def talking(name: str, told: Told, begun: Used, ended: Used, others: float) -> dict[str, float]:
    """Return the figures of one span of messages. Raises HarnessError if none was displayed."""
    if not told.shown:
        raise HarnessError("the crowd displayed nothing")
    taken_s = ended.at_s - begun.at_s
    figures = {
        f"{name}: due/s": told.wanted / told.duration_s,
        f"{name}: displayed/s": told.shown / told.duration_s,
        f"{name}: p50 ms": told.p50_ms,
        f"{name}: p99 ms": told.p99_ms,
        f"{name}: refused/s": told.refused / told.duration_s,
    }
    for kind in (*KINDS, "crowd"):
        figures[f"{name}: {kind} ms"] = (ended.cpu_s[kind] - begun.cpu_s[kind]) / told.shown * 1000
    figures[f"{name}: all ms"] = (ended.all_s - begun.all_s) / told.shown * 1000
    figures[f"{name}: cores"] = (ended.all_s - begun.all_s) / taken_s
    figures[f"{name}: others"] = others
    return figures


def storm(back: Measured) -> dict[str, float]:
    """Return the shape of a storm of returns. Raises HarnessError if nobody came back."""
    if not back.handshakes_peak:
        raise HarnessError("no device came back")
    return {
        "storm: handshakes in 100 ms, most": back.handshakes_peak,
        "storm: attempts": back.attempts,
        "storm: first back after s": back.back_from_s,
        "storm: half back after s": back.caught_up_p50_s,
        "storm: all back after s": back.caught_up_max_s,
        "storm: not back": back.missing,
    }


def _used(system: System, crowd: Crowd | None) -> Used:
    """Return what the processes have used. Raises HarnessError if one is gone."""
    kinds = {service.kind for service in system.topology.services} | {*KINDS, "crowd"}
    cpu_s, pss = dict.fromkeys(kinds, 0.0), dict.fromkeys(kinds, 0)
    try:
        for service in system.topology.services:
            pid = system.pid(service.name)
            if pid is None:
                continue
            process = psutil.Process(pid)
            times = process.cpu_times()
            cpu_s[service.kind] += times.user + times.system
            pss[service.kind] += process.memory_full_info().pss
        if crowd is not None:
            times = psutil.Process(crowd.pid).cpu_times()
            cpu_s["crowd"] = times.user + times.system
    except psutil.Error as error:
        raise HarnessError(f"a process is gone: {error}") from None
    return Used(at_s=time.monotonic(), cpu_s=cpu_s, pss=pss)


BENCH: Final = Bench(summary="unit costs, and the behaviour at several sizes", run=run)
