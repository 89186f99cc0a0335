"""The effect of a reconnect storm on connected devices: others reconnect at once and catch up meanwhile.

A point is the number of devices that return, each with 20 conversations of 20 missed messages; 0 is the quiet system.
100 devices stay connected: half of them in pairs, half in a group whose members fetch each message. Their latency must
hold; the cost for the returned devices is the time until they have everything.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from chaos.bench.benches import Bench, Crowd, Request, cpu_s, running
from load.bench.crowd import Measured, Plan
from sut.deploy.system import System

RETURNING: Final = (0, 250, 1000)
STAYED: Final = 100
RATE_PER_S: Final = 10.0
DURATION_S: Final = 20.0
BEFORE_S: Final = 2.0
"""Seconds that the others have been sending when the storm begins."""


def run(request: Request) -> Sequence[Mapping[str, float]]:
    """Return a row per number of devices. Raises HarnessError."""
    with running(request) as system:
        return [
            _point(system, request, count, 1 + 10_000 * number)
            for number, count in enumerate(request.points or RETURNING)
        ]


def _point(system: System, request: Request, count: int, first_user: int) -> Mapping[str, float]:
    request.say(f"{count} devices come back")
    topology = system.topology
    duration_s = request.duration_s or DURATION_S
    log = request.directory / "logs" / "crowd.log"
    plan = Plan(
        api_url=topology.api_url,
        api_key=topology.api_key,
        first_user=first_user,
        users=STAYED,
        rate_per_s=RATE_PER_S,
        duration_s=duration_s,
    )
    crowds = [Crowd("talkers", plan, log=log)]
    try:
        if count:
            later = msgspec.structs.replace(plan, first_user=first_user + 1000, users=count, duration_s=60.0)
            crowds.append(Crowd("returning", later, log=log))
        for crowd in crowds:
            crowd.wait_until_ready()
        cpu = cpu_s(system)
        crowds[0].begin()
        time.sleep(BEFORE_S)
        for crowd in crowds[1:]:
            crowd.begin()
        stayed, *back = [crowd.result() for crowd in crowds]
        used = {kind: seconds - cpu[kind] for kind, seconds in cpu_s(system).items()}
    finally:
        for crowd in crowds:
            crowd.close()
    return row(count, stayed, back[0] if back else Measured(), used)


def row(count: int, stayed: Measured, back: Measured, used: Mapping[str, float]) -> Mapping[str, float]:
    """Return the figures of a point."""
    return {
        "returning": count,
        "stayed: messages": stayed.messages,
        "missing": stayed.missing,
        "ack p99 ms": stayed.ack_p99_ms,
        "p50 ms": stayed.p50_ms,
        "p99 ms": stayed.p99_ms,
        "max ms": stayed.max_ms,
        "refused": sum(stayed.errors.values()),
        "back: p50 s": back.caught_up_p50_s,
        "all s": back.caught_up_max_s,
        "pages": back.frames.get("PAGE", 0),
        "refused ": sum(back.errors.values()),
        "not back": back.missing,
        "gateway CPU s": used["gateway"],
        "chat CPU s": used["chat"],
        "sequencer CPU s": used["sequencer"],
        "crowd CPU s": stayed.cpu_s + back.cpu_s,
    }


BENCH: Final = Bench(summary="those who stayed, while others come back", run=run)
