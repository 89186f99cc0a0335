"""Known bad: pushes go to all devices of the members, connected or not."""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.ports import RegisteredDevice
from sut.services.push.decider import Decider, Look
from sut.services.push.pieces import PushPieces

CAUGHT_BY = ("push",)
SHOWN_IN = "everything"


class EagerDecider(Decider):
    """Treats every device as not connected."""

    def is_online(self, device: RegisteredDevice, look: Look) -> bool:
        """Return False for every device."""
        return False


def push(_topology: Topology) -> PushPieces:
    return PushPieces(decider=EagerDecider)
