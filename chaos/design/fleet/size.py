"""How large the fleet is, and what one thing costs in it: the two inputs of a simulation.

Sizes follow from `petrel estimate`, costs from a measurement of `petrel bench calibrate`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chaos.design import estimate
from chaos.errors import UsageError

P99_Z: Final = 2.326
"""Standard deviations of the 99th percentile of a normal distribution."""


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured: CPU of one thing, and what a delivery takes when hardly anything else is under way."""

    gateway_ms: float
    chat_ms: float
    sequencer_ms: float
    redis_ms: float
    """CPU of one message, by kind of process."""
    connect_ms: float
    """CPU of a gateway to open one connection."""
    register_ms: float
    """CPU of Redis to register one connection."""
    heartbeat_ms: float = 0.046
    """CPU of a gateway for one heartbeat (docs/measured.md)."""
    renew_ms: float = 0.010
    """CPU of Redis for the routes and presence renewed with one heartbeat (docs/measured.md)."""
    p50_ms: float
    p99_ms: float
    source: str

    @property
    def spread(self) -> float:
        """The sigma of the log-normal distribution through p50 and p99."""
        return math.log(max(self.p99_ms / self.p50_ms, 1.01)) / P99_Z


RECORDED: Final = Costs(
    gateway_ms=0.8, chat_ms=1.2, sequencer_ms=0.55, redis_ms=0.1, connect_ms=0.27, register_ms=0.016, p50_ms=9.4,
    p99_ms=29.5, source="docs/measured.md, 2026-11-30",
)  # fmt: skip
"""The costs of docs/measured.md, for those who have not measured their own."""


def costs_of(row: Mapping[str, Any], source: str) -> Costs:
    """Return the costs of one row of `petrel bench calibrate`. Raises UsageError if it is none."""
    try:
        return Costs(
            gateway_ms=row["light: gateway ms"],
            chat_ms=row["light: chat ms"],
            sequencer_ms=row["light: sequencer ms"],
            redis_ms=row["light: redis ms"],
            connect_ms=row["gateway: us to connect"] / 1000,
            register_ms=row["redis: us to connect"] / 1000,
            p50_ms=row["light: p50 ms"],
            p99_ms=row["light: p99 ms"],
            source=source,
        )
    except (KeyError, TypeError):
        raise UsageError(f"{source}: not a measurement of petrel bench calibrate") from None


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes of a fleet. Cores are those that one machine or shard has."""

    gateways: int
    gateway_cores: float
    connections: int
    messages_per_s: float
    """The average over a day."""
    peak: float
    partitions: int
    """Each has a sequencer with one core."""
    chat_cores: float
    redis_shards: float
    heartbeat_s: float = 30.0
    reconnect_base_s: float = 0.2
    reconnect_cap_s: float = 5.0
    connect_timeout_s: float = 5.0
    lease_s: float = 6.0
    repeat_s: float = 2.5
    """The mean wait before a message that was refused is sent again: half of the back-off's cap."""


def full_scale(costs: Costs, changes: Mapping[str, float] | None = None) -> Fleet:
    """Return the fleet that `petrel estimate` asks for, its chat cores and Redis shards from `costs`.

    Raises UsageError.
    """
    found = estimate.estimate(changes)
    needs = {need.name: need.value for need in found.requirements}
    given = {one.name: one.value for one in found.inputs}
    renewals = needs["connections"] / given["heartbeat_s"] * costs.renew_ms / 1000
    sends = needs["peak_per_s"] * costs.redis_ms / 1000
    gateway = (
        needs["peak_per_s"] / needs["gateways"] * costs.gateway_ms
        + given["connections_a_gateway"] / given["heartbeat_s"] * costs.heartbeat_ms
    ) / 1000
    return Fleet(
        gateways=round(needs["gateways"]),
        gateway_cores=max(2.0, math.ceil(gateway / given["load"])),
        connections=round(needs["connections"]),
        messages_per_s=needs["messages_per_s"],
        peak=given["peak"],
        partitions=max(1, math.ceil(needs["peak_per_s"] * costs.sequencer_ms / 1000 / given["load"])),
        chat_cores=math.ceil(needs["peak_per_s"] * costs.chat_ms / 1000 / given["load"]),
        redis_shards=math.ceil((renewals + sends) / given["load"]),
        heartbeat_s=given["heartbeat_s"],
    )
