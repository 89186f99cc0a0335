"""Known bad: a record that cannot be decided yet is decided upon again as a whole, also for who got a push already."""

from __future__ import annotations

from collections.abc import Mapping

from sut.deploy.topology import Topology
from sut.ports import RegisteredDevice
from sut.services.push.decider import Decider, Look
from sut.services.push.pieces import PushPieces
from sut.services.push.reader import Reached

CAUGHT_BY = ("push",)


class Repeating(Decider):
    """Does not remember whose pushes a record has requested."""

    def _decide_one(self, reached: Reached, devices: Mapping[int, tuple[RegisteredDevice, ...]], look: Look) -> None:
        super()._decide_one(reached._replace(pushed=frozenset()), devices, look)


def push(_topology: Topology) -> PushPieces:
    return PushPieces(decider=Repeating)
