"""The model beside the system: calibrated with one point of `petrel bench calibrate`, compared with the others.

A point is a system on one machine, so all processes are one place with the cores that strangers left to them. The
model is the one of the fleet: the same queues, the same cohorts of devices, the same costs. Two things are read from
the point that is predicted, because they are the machine's and not the design's: the share that others took of its
cores, and the time that the processes of the gateways took to start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from chaos.design.fleet.engine import TICK_S, World, play
from chaos.design.fleet.queues import Visit, waits_s
from chaos.design.fleet.size import P99_Z, Costs, Fleet, costs_of
from chaos.errors import UsageError

CLOSE: Final = 0.2
"""The error that a prediction may have and count as close."""
MESSAGES: Final = 20_000
SEEDS: Final = 20
AFTER_S: Final = 20.0
"""Seconds of a storm that are simulated after the gateways are back."""
GATEWAYS: Final = 3
LEAST_CORES: Final = 0.1


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity at one size. `error`: predicted beside measured, as a share; null: nothing was measured."""

    devices: int
    quantity: str
    unit: str
    measured: float
    predicted: float
    error: float | None
    close: bool


def compare(rows: Sequence[Mapping[str, Any]], source: str, *, cores: int) -> tuple[Compared, ...]:
    """Return every quantity of every point but the first. Raises UsageError if the rows are no such measurement."""
    if len(rows) < 2:
        raise UsageError(f"{source}: a measurement of several sizes is needed")
    try:
        return tuple(one for row in rows[1:] for one in _point(rows[0], row, cores=cores, source=source))
    except (KeyError, TypeError):
        raise UsageError(f"{source}: not a measurement of petrel bench calibrate") from None


def _point(first: Mapping[str, Any], row: Mapping[str, Any], *, cores: int, source: str) -> list[Compared]:
    devices = int(row["devices"])
    idle, marginal_s = load_line(first)
    full_cores = max(LEAST_CORES, cores * (1 - row["full: others"]))
    p50_ms, p99_ms = light(first, row, cores=cores)
    back = storm(devices, costs_of(first, source), start_s=row["storm: first back after s"])
    predicted = {
        "light: cores": idle + marginal_s * row["light: displayed/s"],
        "light: p50 ms": p50_ms,
        "light: p99 ms": p99_ms,
        "full: displayed/s": max(0.0, full_cores - idle) / marginal_s,
        **back,
    }
    units = {"light: cores": "cores", "light: p50 ms": "ms", "light: p99 ms": "ms", "full: displayed/s": "1/s"}
    return [_compared(devices, name, units.get(name, ""), row[name], value) for name, value in predicted.items()]


def _compared(devices: int, name: str, unit: str, measured: float, predicted: float) -> Compared:
    error = (predicted - measured) / measured if measured else None
    return Compared(
        devices=devices,
        quantity=name,
        unit=unit or ("s" if name.endswith(" s") else "devices"),
        measured=measured,
        predicted=predicted,
        error=error,
        close=error is not None and abs(error) <= CLOSE,
    )


def load_line(row: Mapping[str, Any]) -> tuple[float, float]:
    """Return the cores of an idle system and the CPU seconds of one more message, through light and full load."""
    rates, used = (row["light: displayed/s"], row["full: displayed/s"]), (row["light: cores"], row["full: cores"])
    marginal_s = (used[1] - used[0]) / (rates[1] - rates[0]) if rates[1] > rates[0] else used[0] / rates[0]
    idle = used[0] - marginal_s * rates[0]
    return (idle, marginal_s) if idle >= 0 and marginal_s > 0 else (0.0, used[1] / rates[1])


def light(first: Mapping[str, Any], row: Mapping[str, Any], *, cores: int) -> tuple[float, float]:
    """Return p50 and p99 in ms at the light load of a point.

    What the queues do not explain at the first point (timers, ticks of the log, the scheduler) is drawn beside them.
    """
    queued_ms = _queued_ms(first, first, cores=cores)
    rest_p50_ms = max(0.1, first["light: p50 ms"] - float(np.percentile(queued_ms, 50)))
    rest_p99_ms = max(rest_p50_ms, first["light: p99 ms"] - float(np.percentile(queued_ms, 50)))
    rng = np.random.default_rng(2)
    spread = math.log(rest_p99_ms / rest_p50_ms) / P99_Z
    queued_ms = _queued_ms(first, row, cores=cores)
    total_ms = queued_ms + rng.lognormal(math.log(rest_p50_ms), spread, queued_ms.size)
    return float(np.percentile(total_ms, 50)), float(np.percentile(total_ms, 99))


def _queued_ms(first: Mapping[str, Any], row: Mapping[str, Any], *, cores: int) -> np.ndarray:
    """Return what messages of a point spend in queues and at work, with the unit costs of the first one."""
    _, marginal_s = load_line(first)
    left = max(LEAST_CORES, cores * (1 - row["light: others"]))
    kinds = ("gateway", "chat", "sequencer", "gateway", "crowd")
    shares = [first[f"light: {kind} ms"] / (2 if kind == "gateway" else 1) for kind in kinds]
    visits = [Visit((0,), marginal_s * share / sum(shares)) for share in shares]
    rng = np.random.default_rng(1)
    return waits_s(visits, [left], rate_per_s=row["light: due/s"], messages=MESSAGES, rng=rng) * 1000


def storm(devices: int, costs: Costs, *, start_s: float) -> dict[str, float]:
    """Return the shape of a storm of that many devices whose gateways are back after `start_s`: means of draws."""
    fleet = Fleet(
        gateways=GATEWAYS, gateway_cores=1.0, connections=devices, messages_per_s=1.0, peak=1.0, partitions=8,
        chat_cores=1.0, redis_shards=1.0,
    )  # fmt: skip
    drawn = [_one_storm(fleet, costs, start_s, seed) for seed in range(SEEDS)]
    return {name: float(np.mean([one[name] for one in drawn])) for name in drawn[0]}


def _one_storm(fleet: Fleet, costs: Costs, start_s: float, seed: int) -> dict[str, float]:
    everyone = np.arange(fleet.gateways)
    world = World(fleet, costs, seed=seed, base_ms=np.array([costs.p50_ms]))
    world.kill(everyone)

    def step(now: World) -> None:
        if not now.up.any() and now.now_s >= start_s - TICK_S / 2:
            now.start(everyone)

    series = play(world, step, start_s + AFTER_S)
    back = np.cumsum(series["connected_per_s"]) * TICK_S
    return {
        "storm: handshakes in 100 ms, most": float(series["connected_per_s"].max()) * TICK_S,
        "storm: attempts": float(series["dials_per_s"].sum()) * TICK_S,
        "storm: half back after s": float(np.searchsorted(back, fleet.connections / 2) + 1) * TICK_S,
        "storm: all back after s": float(np.searchsorted(back, fleet.connections - 0.5) + 1) * TICK_S,
    }
