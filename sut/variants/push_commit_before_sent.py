"""Known bad: the log is committed as it is read, not as pushes are answered. A crash forgets what was under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sut.services.push.floor import Floor

if TYPE_CHECKING:
    from sut.deploy.topology import Topology


class HastyFloor(Floor):
    """Done with whatever was seen."""

    @property
    def value(self) -> int:
        """The highest offset that was read."""
        return self._read_to


def floor_class(_topology: Topology) -> type[Floor]:
    """The push service's."""
    return HastyFloor
