"""The parts of a gateway that a known-bad variant can replace. The defaults are the right design."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sut.gateway.admission import Admission
from sut.gateway.announcer import Announcer
from sut.gateway.handed import Handed
from sut.gateway.presence import GatewayPresence
from sut.gateway.registrar import Pace
from sut.gateway.syncs import Syncs
from sut.ports import Registry


def _same(registry: Registry) -> Registry:
    return registry


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayPieces:
    admission: type[Admission] = Admission
    """Which SENDs are taken, and which have to come again later."""
    presence: type[GatewayPresence] = GatewayPresence
    presence_ttl_s: float | None = None
    """Seconds that a gateway's report on a user counts; None: as the topology's settings say."""
    registry: Callable[[Registry], Registry] = _same
    """Wraps the given registry for the gateway's lease and routes."""
    pace: Pace | None = None
    """How often routes are written; None: every heartbeat interval."""
    announcer: type[Announcer] = Announcer
    """Tells the sequencers routes that the registry cannot be told."""
    handed: type[Handed] = Handed
    """Keeps what a chat service took, for another one if it dies."""
    syncs: type[Syncs] = Syncs
    """Who is told to SYNC, and who waits for the answer."""
