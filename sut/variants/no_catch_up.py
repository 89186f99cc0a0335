"""Known bad: fan-out without the catch-up. Whoever is connected is told; what was missed is nobody's business.

SYNC is answered, and the answer is always that there is no news: so a device that comes back, and one that is told to
RESYNC, learns nothing. Still there is a gap to be seen when the next message of the same conversation comes, and FETCH
closes it; in a conversation that stays quiet, what was missed is never shown. Nothing is lost on the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sut.protocol.frames import Synced
from sut.services.chat.reader import Reader

if TYPE_CHECKING:
    from sut.deploy.topology import Topology


class NoNews(Reader):
    """Knows nothing of what a device has missed."""

    async def sync(self, user: int, *, req: int, after_conv: int, cursors: Mapping[int, int]) -> Synced:
        """Nothing is ahead of these cursors."""
        return Synced(req, 0, ())


def reader_class(_topology: Topology) -> type[Reader]:
    """The chat services'."""
    return NoNews
