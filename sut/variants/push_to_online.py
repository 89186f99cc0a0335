"""Known bad: pushes go to all devices of the members, connected or not. Phones buzz in the hand."""

from __future__ import annotations

from sut.ports import RegisteredDevice
from sut.services.push.decider import Decider


class EagerDecider(Decider):
    """Looks at nobody's routes."""

    def is_online(self, device: RegisteredDevice, connected: set[int]) -> bool:
        """Never."""
        return False
