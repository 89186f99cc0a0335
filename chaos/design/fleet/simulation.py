"""The whole simulation: a day, every scenario, and the storm of repeats; as records that a page or a program reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np

from chaos.design.fleet import retries
from chaos.design.fleet.engine import TICK_S, World, play
from chaos.design.fleet.queues import Visit, waits_s
from chaos.design.fleet.scenarios import AT_S, SCENARIOS
from chaos.design.fleet.size import P99_Z, Costs, Fleet
from chaos.errors import UsageError, no_such

HOURS: Final = 24
PEAK_HOUR: Final = 20
SLICE: Final = 8
"""Partitions whose messages are simulated one by one, with the gateways and chat cores that belong to them."""
MESSAGES: Final = 20_000
CALM_SHARE: Final = 1e-4
"""A storm lasts while more devices than this share wait, or p99 is above CALM_TIMES what it was."""
CALM_TIMES: Final = 2.0
OUTAGES_S: Final = (2.0, 5.0, 10.0, 30.0)
SHOWN_LOADS: Final = (0.2, 0.5)
SHOWN_OUTAGE_S: Final = 10.0


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet in one hour of a day."""

    hour: int
    messages_per_s: float
    p50_ms: float
    p99_ms: float
    sequencer_load: float
    chat_load: float
    redis_load: float
    gateway_load: float


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario: figures, and a value a second for each line of the engine."""

    name: str
    summary: str
    duration_s: float
    figures: dict[str, float]
    series: dict[str, list[float]]


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """The load from which on the repeats after an outage never end; null: none does."""

    away_s: float
    admission: bool
    load: float | None


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one call of `petrel simulate` found."""

    fleet: Fleet
    costs: Costs
    seed: int
    day: tuple[Hour, ...]
    scenarios: tuple[Played, ...]
    thresholds: tuple[Threshold, ...]
    storms: tuple[tuple[bool, retries.Storm], ...]
    """(with admission, what one load led to)."""


def simulate(
    fleet: Fleet, costs: Costs, *, seed: int, names: Sequence[str] = (), say: Callable[[str], None] = lambda _text: None
) -> Simulation:
    """Simulate the named scenarios; none named: all. Raises UsageError for a name that is not there."""
    for name in names:
        if name not in SCENARIOS:
            raise UsageError(no_such("scenario", name, tuple(SCENARIOS)))
    rng = np.random.default_rng(seed)
    say("a day, hour by hour")
    base_ms = calm_ms(fleet, costs, rng)
    day = tuple(_hour(fleet, costs, hour, rng) for hour in range(HOURS))
    played = []
    for name in names or SCENARIOS:
        say(f"{name}: {SCENARIOS[name].summary}")
        played.append(_play(name, fleet, costs, seed, base_ms))
    say("repeats after an outage")
    thresholds = tuple(
        Threshold(away_s=away_s, admission=admission, load=found if math.isfinite(found) else None)
        for away_s in OUTAGES_S
        for admission in (False, True)
        for found in [retries.threshold(away_s, retries.Rules(admission=admission))]
    )
    storms = tuple(
        (admission, retries.run(load, SHOWN_OUTAGE_S, retries.Rules(admission=admission)))
        for load in SHOWN_LOADS
        for admission in (False, True)
    )
    return Simulation(
        fleet=fleet, costs=costs, seed=seed, day=day, scenarios=tuple(played), thresholds=thresholds, storms=storms
    )


def day_shape(peak: float, hours: int = HOURS) -> np.ndarray:
    """Return the load of each hour as a multiple of the average: 1 on average, `peak` in the evening."""
    angle = np.cos((np.arange(hours) - PEAK_HOUR) / hours * 2 * math.pi)
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        shape = np.exp(middle * angle)
        low, high = (middle, high) if shape.max() / shape.mean() < peak else (low, middle)
    shape = np.exp(low * angle)
    return np.asarray(shape / shape.mean())


def _slice_ms(fleet: Fleet, costs: Costs, rate_per_s: float, rng: np.random.Generator) -> np.ndarray:
    """Return what messages spend in the queues of a slice of the fleet, in ms."""
    share = min(1.0, SLICE / fleet.partitions)
    partitions = min(SLICE, fleet.partitions)
    gateways = max(1, round(fleet.gateways * share))
    places = [fleet.gateway_cores] * gateways + [max(1.0, fleet.chat_cores * share)] + [1.0] * partitions
    at_gateways, at_chat = range(gateways), (gateways,)
    visits = [
        Visit(at_gateways, costs.gateway_ms / 2000),
        Visit(at_chat, costs.chat_ms / 1000),
        Visit(range(gateways + 1, gateways + 1 + partitions), costs.sequencer_ms / 1000),
        Visit(at_gateways, costs.gateway_ms / 2000),
    ]
    return waits_s(visits, places, rate_per_s=rate_per_s * share, messages=MESSAGES, rng=rng) * 1000


def calm_ms(fleet: Fleet, costs: Costs, rng: np.random.Generator, rate: float = 1.0) -> np.ndarray:
    """Return deliveries of a calm fleet in ms: the queues of a slice, and what the measured base has beside work."""
    queued_ms = _slice_ms(fleet, costs, fleet.messages_per_s * rate, rng)
    work_ms = costs.gateway_ms + costs.chat_ms + costs.sequencer_ms
    rest_p50_ms = max(0.1, costs.p50_ms - work_ms)
    spread = math.log(max(rest_p50_ms, costs.p99_ms - work_ms) / rest_p50_ms) / P99_Z
    return np.asarray(queued_ms + rng.lognormal(math.log(rest_p50_ms), spread, queued_ms.size))


def _hour(fleet: Fleet, costs: Costs, hour: int, rng: np.random.Generator) -> Hour:
    rate = float(day_shape(fleet.peak)[hour])
    sent = fleet.messages_per_s * rate
    latency_ms = calm_ms(fleet, costs, rng, rate)
    beats = fleet.connections / fleet.heartbeat_s
    return Hour(
        hour=hour,
        messages_per_s=sent,
        p50_ms=float(np.percentile(latency_ms, 50)),
        p99_ms=float(np.percentile(latency_ms, 99)),
        sequencer_load=sent * costs.sequencer_ms / 1000 / fleet.partitions,
        chat_load=sent * costs.chat_ms / 1000 / fleet.chat_cores,
        redis_load=(beats * costs.renew_ms + sent * costs.redis_ms) / 1000 / fleet.redis_shards,
        gateway_load=(sent * costs.gateway_ms + beats * costs.heartbeat_ms)
        / 1000
        / (fleet.gateways * fleet.gateway_cores),
    )


def _play(name: str, fleet: Fleet, costs: Costs, seed: int, base_ms: np.ndarray) -> Played:
    scenario = SCENARIOS[name]
    world = World(fleet, costs, seed=seed, base_ms=base_ms, fixed_s=scenario.fixed_s)
    lines = play(world, scenario.begin(world), scenario.duration_s)
    ticks = round(1 / TICK_S)
    seconds = {line: values.reshape(-1, ticks) for line, values in lines.items()}
    highest = {"offline", "handshake_queue", "registration_queue", "sequencer_queue", "p99_ms"}
    series = {
        line: (values.max(axis=1) if line in highest else values.mean(axis=1)).round(3).tolist()
        for line, values in seconds.items()
    }
    return Played(
        name=name,
        summary=scenario.summary,
        duration_s=scenario.duration_s,
        figures=figures(lines, fleet),
        series=series,
    )


def figures(lines: dict[str, np.ndarray], fleet: Fleet) -> dict[str, float]:
    """Return what a scenario came to: latency before and at worst, height and length of the storm, queues, loads."""
    begin = round(AT_S / TICK_S)
    calm_p99_ms = float(np.median(lines["p99_ms"][:begin]))
    storm = (
        (lines["offline"] > CALM_SHARE * fleet.connections)
        | (lines["registration_queue"] > CALM_SHARE * fleet.connections)
        | (lines["p99_ms"] > CALM_TIMES * calm_p99_ms)
        | (lines["refused_per_s"] > CALM_SHARE * fleet.messages_per_s)
    )
    last = int(np.flatnonzero(storm)[-1]) + 1 if storm.any() else begin
    return {
        "p50_ms": float(np.median(lines["p50_ms"][:begin])),
        "p99_ms": calm_p99_ms,
        "worst_p50_ms": float(lines["p50_ms"].max()),
        "worst_p99_ms": float(lines["p99_ms"].max()),
        "offline": float(lines["offline"].max()),
        "dials_per_s": float(lines["dials_per_s"].max()),
        "connected_per_s": float(lines["connected_per_s"].max()),
        "storm_s": max(0.0, (last - begin) * TICK_S),
        "handshake_queue": float(lines["handshake_queue"].max()),
        "registration_queue": float(lines["registration_queue"].max()),
        "sequencer_queue": float(lines["sequencer_queue"].max()),
        "refused": float(lines["refused_per_s"].sum() * TICK_S),
        "gateway_load": float(lines["gateway_load"].max()),
        "redis_load": float(lines["redis_load"].max()),
        "sequencer_load": float(lines["sequencer_load"].max()),
    }
