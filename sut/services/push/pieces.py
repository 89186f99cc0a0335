"""The parts of the push service that a known-bad variant can replace. The defaults are the right design."""

from __future__ import annotations

from dataclasses import dataclass

from sut.services.push.decider import Decider
from sut.services.push.floor import Floor


@dataclass(frozen=True, kw_only=True, slots=True)
class PushPieces:
    decider: type[Decider] = Decider
    """Decides who gets a push."""
    floor: type[Floor] = Floor
    """Tells how far the log may be committed."""
