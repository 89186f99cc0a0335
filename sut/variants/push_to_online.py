"""Known bad: pushes go to all devices of the members, connected or not."""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.ports import RegisteredDevice
from sut.services.push.decider import Decider, Look
from sut.services.push.pieces import PushPieces

CAUGHT_BY = ("push",)


class EagerDecider(Decider):
    """Does not care who is connected."""

    def is_online(self, device: RegisteredDevice, look: Look) -> bool:
        """Never."""
        return False


def push(_topology: Topology) -> PushPieces:
    return PushPieces(decider=EagerDecider)
