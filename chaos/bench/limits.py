"""A short search for the messages per second that a system carries on this machine within its latency bound.

Each step is a run of the experiment `capacity` at another rate, with its own system and its own verdict. A rate counts
as carried if that verdict is valid: nothing lost, and p99 from the planned send to the display within the bound. The
swarm runs on the same machine and takes its share. The rate doubles until one is not carried. Then the interval is
halved (by ratio) until its ends are within RESOLUTION.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from rich.table import Table
from rich.text import Text

from chaos.run import experiment, whole
from chaos.run.experiment import Experiment
from chaos.screen.console import for_people, plain_table

if TYPE_CHECKING:
    from sut.deploy.servers.external import Servers

RESOLUTION: Final = 1.15
"""Two runs at the same rate differ by about this ratio."""
FIRST_PER_S: Final = 200.0
LOWEST_PER_S: Final = 10.0
HIGHEST_PER_S: Final = 100_000.0
MAX_STEPS: Final = 12


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the search."""

    rate_per_s: float
    verdict: str
    p50_ms: float | None
    p99_ms: float | None
    acked_per_s: float
    deliveries_per_s: float
    run_dir: str

    @property
    def carried(self) -> bool:
        """True if the system kept its guarantees at this rate."""
        return self.verdict == "valid"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the search."""

    profile: str
    users: int
    bound_ms: float
    messages_per_s: float
    """The highest rate carried; 0 if not even the lowest one was."""
    deliveries_per_s: float
    steps: tuple[Step, ...]


def next_rate(tried: Mapping[float, bool], *, first: float = FIRST_PER_S) -> float | None:
    """Return the rate to try after these (rate -> carried); None if the answer is precise enough."""
    if not tried:
        return first
    if len(tried) >= MAX_STEPS:
        return None
    refused = min((rate for rate, carried in tried.items() if not carried), default=math.inf)
    carried = max((rate for rate, carried in tried.items() if carried and rate < refused), default=0.0)
    if refused == math.inf:
        rate = 2 * carried
    elif carried == 0:
        rate = refused / 2
    elif refused / carried <= RESOLUTION:
        return None
    else:
        rate = float(f"{math.sqrt(refused * carried):.2g}")
    return rate if LOWEST_PER_S <= rate <= HIGHEST_PER_S and rate not in tried else None


def search(attempt: Callable[[float], Step], *, first: float = FIRST_PER_S) -> tuple[Step, ...]:
    """Try rates until the answer is known; returns the steps. Raises what `attempt` raises."""
    steps: list[Step] = []
    while (rate := next_rate({step.rate_per_s: step.carried for step in steps}, first=first)) is not None:
        steps.append(attempt(rate))
    return tuple(steps)


def best(steps: Sequence[Step]) -> Step | None:
    """Return the step with the highest carried rate below every refused one; None without one."""
    refused = min((step.rate_per_s for step in steps if not step.carried), default=math.inf)
    held = [step for step in steps if step.carried and step.rate_per_s < refused]
    return max(held, key=lambda step: step.rate_per_s, default=None)


def measure(
    wanted: Experiment,
    *,
    seed: int,
    profile: str,
    servers: Servers | None,
    directory: Path,
    first: float,
    as_json: bool,
) -> Limits:
    """Search with runs of `wanted` in `directory`; print the steps and write limits.json. Raises ChaosError."""
    from chaos.run.runner import Request

    def attempt(rate: float) -> Step:
        request = Request(
            experiment=experiment.override(wanted, users=None, duration_s=None, rate=rate),
            seed=seed,
            profile=profile,
            variant=None,
            directory=directory / f"{rate:g}-per-s",
            servers=servers,
        )
        verdict = whole.execute(request, as_json=as_json, alone=False)
        return Step(
            rate_per_s=rate,
            verdict=verdict.verdict,
            p50_ms=verdict.latency_ms.steady.p50,
            p99_ms=verdict.latency_ms.steady.p99,
            acked_per_s=verdict.counts.sends_acked / wanted.duration_s,
            deliveries_per_s=verdict.counts.deliveries / wanted.duration_s,
            run_dir=str(request.directory),
        )

    steps = search(attempt, first=first)
    found = best(steps)
    result = Limits(
        profile=profile,
        users=wanted.users,
        bound_ms=wanted.bounds.latency_ms,
        messages_per_s=found.rate_per_s if found else 0.0,
        deliveries_per_s=found.deliveries_per_s if found else 0.0,
        steps=steps,
    )
    (directory / "limits.json").write_bytes(msgspec.json.encode(result) + b"\n")
    console = for_people(stderr=as_json)
    console.print(table(steps))
    told = f"{result.messages_per_s:,.0f} messages/s, {result.deliveries_per_s:,.0f} deliveries/s"
    console.print(Text(f"{profile}: {told} at p99 <= {result.bound_ms:g} ms, swarm included"), soft_wrap=True)
    return result


def table(steps: Sequence[Step]) -> Table:
    """Return a table of the steps for people, by rate."""
    shown = plain_table("messages/s", "verdict", "p50", "p99", "deliveries/s")
    for step in sorted(steps, key=lambda step: step.rate_per_s):
        latencies = (f"{value:.1f} ms" if value is not None else "-" for value in (step.p50_ms, step.p99_ms))
        shown.add_row(f"{step.rate_per_s:,.0f}", step.verdict, *latencies, f"{step.deliveries_per_s:,.0f}")
    return shown
