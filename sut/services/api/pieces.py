"""The parts of the API that a known-bad variant can replace. The defaults are the right design."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiPieces:
    presence_ttl_s: float | None = None
    """Seconds that a gateway's report on a user counts; None: as the topology's settings say."""
