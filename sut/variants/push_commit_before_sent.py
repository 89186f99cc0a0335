"""Known bad: the push service commits the log as it reads it, so a crash forgets the pushes under way."""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.services.push.floor import Floor
from sut.services.push.pieces import PushPieces

CAUGHT_BY = ("push",)
SHOWN_IN = "everything"
SHOWN_BY = "push_crash"


class HastyFloor(Floor):
    """Counts every record as done once it was read."""

    @property
    def value(self) -> int:
        """The highest offset that was read."""
        return self._read_to


def push(_topology: Topology) -> PushPieces:
    return PushPieces(floor=HastyFloor)
