"""The parts of a gateway that a known-bad variant can replace. The defaults are the right design."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sut.gateway.presence import GatewayPresence
from sut.gateway.registrar import Pace
from sut.ports import Registry


def _same(registry: Registry) -> Registry:
    return registry


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayPieces:
    presence: type[GatewayPresence] = GatewayPresence
    presence_ttl_s: float | None = None
    """How long a gateway's word on a user counts, in seconds; None: as long as the topology's settings say."""
    registry: Callable[[Registry], Registry] = _same
    """What keeps the gateway's lease and routes, around the registry given."""
    pace: Pace | None = None
    """How often routes are written; None: every heartbeat interval."""
