"""Known bad: pushes go to all devices of the members, connected or not. Phones buzz in the hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sut.ports import RegisteredDevice
from sut.services.push.decider import Decider, Look

if TYPE_CHECKING:
    from sut.deploy.topology import Topology


class EagerDecider(Decider):
    """Does not care who is connected."""

    def is_online(self, device: RegisteredDevice, look: Look) -> bool:
        """Never."""
        return False


def decider_class(_topology: Topology) -> type[Decider]:
    """The push service's."""
    return EagerDecider
