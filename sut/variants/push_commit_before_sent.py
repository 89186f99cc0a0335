"""Known bad: the log is committed as it is read, not as pushes are answered. A crash forgets what was under way."""

from __future__ import annotations

from sut.services.push.floor import Floor


class HastyFloor(Floor):
    """Done with whatever was seen."""

    @property
    def value(self) -> int:
        """The highest offset that was read."""
        return self._read_to
