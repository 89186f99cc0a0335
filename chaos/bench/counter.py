"""The cost of one counter for all conversations: the variant global_counter against the usual system, in one run.

A point is the number of senders. Each sends its next message as soon as the last one has its number. So the figures are
the messages per second and the time for one message. Both systems run all the time and get their load in turn, twice,
so that other load on the machine affects both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from chaos.bench.benches import Bench, Crowd, Request, running
from chaos.errors import HarnessError, UsageError
from chaos.run import rundir
from load.bench.crowd import Measured, Plan
from sut.deploy.system import System
from sut.deploy.topology import Settings

VARIANT: Final = "global_counter"
SENDERS: Final = (1, 16, 64)
ROUNDS: Final = 2
UNHINDERED: Final = Settings(device_cpu_share=1.0)
"""One device may send as fast as it is answered."""
DURATION_S: Final = 6.0
SPACING: Final = 10_000
"""Distance between the first user ids of two crowds."""


def run(request: Request) -> Sequence[Mapping[str, float]]:
    """Return a row per number of senders. Raises UsageError, HarnessError."""
    if request.variant:
        raise UsageError(f"this bench has its own variant, {VARIANT}")
    with contextlib.ExitStack() as both:
        systems: list[System] = []
        for variant in (None, VARIANT):
            path = rundir.make(request.directory / (variant or "usual")).path
            systems.append(
                both.enter_context(running(replace(request, directory=path, variant=variant), settings=UNHINDERED))
            )
        rows = []
        for place, senders in enumerate(request.points or SENDERS):
            measured: tuple[list[Measured], ...] = ([], [])
            for number in range(ROUNDS):
                for system, found in zip(systems, measured, strict=True):
                    found.append(_press(system, request, senders, 1 + SPACING * (place * ROUNDS + number)))
            rows.append(row(senders, *measured, duration_s=request.duration_s or DURATION_S))
        return rows


def _press(system: System, request: Request, senders: int, first_user: int) -> Measured:
    variant = system.topology.variant or "usual"
    request.say(f"{senders} senders, {variant}")
    plan = Plan(
        api_url=system.topology.api_url,
        api_key=system.topology.api_key,
        first_user=first_user,
        users=2 * senders,
        duration_s=request.duration_s or DURATION_S,
    )
    crowd = Crowd("pressing", plan, log=request.directory / "logs" / "crowd.log", module="load.bench.rush")
    try:
        crowd.wait_until_ready()
        crowd.begin()
        return crowd.result()
    finally:
        crowd.close()


def row(
    senders: int, usual: Sequence[Measured], counted: Sequence[Measured], *, duration_s: float
) -> Mapping[str, float]:
    """Return the figures of a point. Raises HarnessError if no message was sent."""
    rates = [sum(one.messages for one in found) / (len(found) * duration_s) for found in (usual, counted)]
    if not all(rates):
        raise HarnessError("the crowd sent nothing")
    figures: dict[str, float] = {"senders": senders}
    for name, found, rate in zip(("usual", VARIANT), (usual, counted), rates, strict=True):
        figures[f"{name}: messages/s"] = rate
        figures[f"{name}: p50 ms"] = sum(one.p50_ms for one in found) / len(found)
        figures[f"{name}: p99 ms"] = sum(one.p99_ms for one in found) / len(found)
        figures[f"{name}: missing"] = sum(one.missing for one in found)
    figures["messages/s, ratio"] = rates[1] / rates[0]
    figures["p50, ratio"] = figures[f"{VARIANT}: p50 ms"] / figures["usual: p50 ms"]
    return figures


BENCH: Final = Bench(summary="one counter for all conversations, against none", run=run)
