"""What one hostile device costs the others on its gateway: honest pairs beside each kind of flood.

A point is a kind of flood, by its place in FLOODS from 1. One authenticated device floods its gateway as fast as the
gateway reads, in every second period of PERIOD_S. Pairs on the same gateway write all the time. The periods alternate
because a machine's speed varies: calm and flood are compared within the same half minute. The design promises that the
flood adds at most 10% to the pairs' p99.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from chaos.bench.benches import Bench, Crowd, Request, cpu_s, running
from chaos.errors import HarnessError, UsageError
from load.bench.crowd import Measured, Plan
from load.bench.hostile import FLOODS
from sut.deploy.system import System

PAIRED: Final = 40
RATE_PER_S: Final = 100.0
DURATION_S: Final = 24.0
PERIOD_S: Final = 1.5


def run(request: Request) -> Sequence[Mapping[str, float | str]]:
    """Return a row per kind of flood. Raises HarnessError, UsageError."""
    kinds = list(FLOODS)
    if any(not 1 <= point <= len(kinds) for point in request.points):
        raise UsageError(f"the points of this bench are from 1 to {len(kinds)}: {', '.join(kinds)}")
    wanted = [kinds[point - 1] for point in request.points] or kinds
    with running(request) as system:
        return [_point(system, request, kind, 1 + 1000 * number) for number, kind in enumerate(wanted)]


def _point(system: System, request: Request, kind: str, first_user: int) -> Mapping[str, float | str]:
    request.say(f"a flood of {kind}")
    topology, log = system.topology, request.directory / "logs" / "crowd.log"
    plan = Plan(
        api_url=topology.api_url,
        api_key=topology.api_key,
        first_user=first_user,
        users=PAIRED,
        rate_per_s=RATE_PER_S,
        duration_s=request.duration_s or DURATION_S,
        period_s=PERIOD_S,
        flood=kind,
    )
    attacker = msgspec.structs.replace(plan, first_user=first_user + 500, users=2)
    crowds = [Crowd("honest", plan, log=log, module=MODULE), Crowd("flood", attacker, log=log, module=MODULE)]
    try:
        for crowd in crowds:
            crowd.wait_until_ready()
        before = cpu_s(system)
        for crowd in crowds:
            crowd.begin()
        honest, flood = [crowd.result() for crowd in crowds]
        used = {name: seconds - before[name] for name, seconds in cpu_s(system).items()}
    finally:
        for crowd in crowds:
            crowd.close()
    return row(kind, honest, flood, used)


def row(kind: str, honest: Measured, flood: Measured, used: Mapping[str, float]) -> Mapping[str, float | str]:
    """Return the figures of a point. Raises HarnessError if there is nothing to compare."""
    calm, flooded = honest.calm_ns, honest.flood_ns
    if not calm or not flooded:
        raise HarnessError(f"no message was due in calm, or none in the flood of {kind}: the time is too short")
    return {
        "flood": kind,
        "calm: messages": len(calm),
        "p50 ms": at(calm, 0.50),
        "p99 ms": at(calm, 0.99),
        "flood: messages": len(flooded),
        "p50 ms ": at(flooded, 0.50),
        "p99 ms ": at(flooded, 0.99),
        "p50 x": at(flooded, 0.50) / at(calm, 0.50),
        "p99 x": at(flooded, 0.99) / at(calm, 0.99),
        "missing": honest.missing,
        "flood MB": flood.sent_bytes / 1e6,
        "its connections": flood.attempts,
        "gateway CPU s": used["gateway"],
        "chat CPU s": used["chat"],
        "sequencer CPU s": used["sequencer"],
    }


def at(rising: Sequence[int], share: float) -> float:
    """Return the nearest-rank percentile in ms."""
    return rising[min(len(rising) - 1, max(0, -(-int(share * 100) * len(rising) // 100) - 1))] / 1e6


MODULE: Final = "load.bench.hostile"
BENCH: Final = Bench(summary="honest pairs in calm, and beside one hostile device", run=run)
