"""The gain of full jitter when all devices reconnect at once, against the fixed wait of the variant fixed_reconnect.

A point is the number of devices. All gateways are killed at once and restart some seconds later. The devices reconnect
by their backoff, first with full jitter, then with the fixed wait, on the same system. The figures are the maxima in
any 0.1 s of two counts. One is the dials of devices that got in. The other is the handshakes that the gateways finished
(bounded by their capacity). A third figure is the time of one handshake. With few devices a fixed wait need not take
longer for all: jitter trades time for a lower peak.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Final

from chaos.bench.benches import Bench, Crowd, Request, running
from chaos.errors import HarnessError, UsageError
from load.bench.crowd import Measured, Plan
from sut.deploy.system import System
from sut.variants import fixed_reconnect

VARIANT: Final = "fixed_reconnect"
DEVICES: Final = (250, 1000)
AWAY_S: Final = 3.0
"""Seconds that the gateways stay dead: several waits, so that both strategies reach their steady rate."""
BACK_BY_S: Final = 60.0


def run(request: Request) -> Sequence[Mapping[str, float]]:
    """Return a row per number of devices. Raises UsageError, HarnessError."""
    if request.variant:
        raise UsageError(f"this bench has its own variant, {VARIANT}")
    with running(request) as system:
        points = enumerate(request.points or DEVICES)
        return [_point(system, request, devices, 1 + 10_000 * place) for place, devices in points]


def _point(system: System, request: Request, devices: int, first_user: int) -> Mapping[str, float]:
    measured = []
    for name, fixed_s in (("full jitter", 0.0), (VARIANT, fixed_reconnect.WAIT_S)):
        request.say(f"{devices} devices, {name}")
        plan = Plan(
            api_url=system.topology.api_url,
            api_key=system.topology.api_key,
            first_user=first_user,
            users=devices,
            duration_s=request.duration_s or BACK_BY_S,
            fixed_s=fixed_s,
        )
        crowd = Crowd("cut_off", plan, log=request.directory / "logs" / "crowd.log", module="load.bench.rush")
        try:
            crowd.wait_until_ready()
            crowd.begin()
            kill_gateways(system)
            measured.append(crowd.result())
        finally:
            crowd.close()
    return row(devices, *measured)


def kill_gateways(system: System) -> None:
    """Kill all gateways at once, and let them restart AWAY_S later; returns then."""
    names = [service.name for service in system.topology.of_kind("gateway")]
    pids = [system.pid(name) for name in names]
    for name in names:
        system.hold(name)
    for pid in pids:
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    time.sleep(AWAY_S)
    for name in names:
        system.release(name)


def row(devices: int, jittered: Measured, fixed: Measured) -> Mapping[str, float]:
    """Return the figures of a point. Raises HarnessError if no device came back."""
    if not jittered.handshakes_peak or not fixed.handshakes_peak:
        raise HarnessError("no device came back")
    figures: dict[str, float] = {"devices": devices}
    for name, one in (("jitter", jittered), ("fixed", fixed)):
        figures[f"{name}: dials in 100 ms, most"] = one.dials_peak
        figures[f"{name}: handshakes in 100 ms, most"] = one.handshakes_peak
        figures[f"{name}: a handshake, p99 ms"] = one.handshake_p99_ms
        figures[f"{name}: attempts"] = one.attempts
        figures[f"{name}: all back after s"] = one.caught_up_max_s
        figures[f"{name}: from first to last s"] = one.caught_up_max_s - one.back_from_s
        figures[f"{name}: not back"] = one.missing
    figures["dials in 100 ms, ratio"] = fixed.dials_peak / jittered.dials_peak
    figures["handshakes in 100 ms, ratio"] = fixed.handshakes_peak / jittered.handshakes_peak
    return figures


BENCH: Final = Bench(summary="everybody comes back, with full jitter and with a fixed wait", run=run)
