"""The parts of the API that a known-bad variant can replace. The defaults are the right design."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiPieces:
    presence_ttl_s: float | None = None
    """How long a gateway's word on a user counts, in seconds; None: as long as the topology's settings say."""
