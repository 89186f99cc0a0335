"""Known bad: SYNC reports no news, so a device never learns of what it missed while it was away.

This is fan-out without the catch-up: only connected devices are told. A device that comes back, or is told to RESYNC,
learns nothing. It sees a gap when the next message of the same conversation comes, and FETCH closes it. In a
conversation that stays quiet the missed messages are never shown. The server loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from sut.deploy.topology import Topology
from sut.protocol.frames import Synced
from sut.services.chat.pieces import ChatPieces
from sut.services.chat.reader import Reader

CAUGHT_BY = ("catch_up", "liveness")


class NoNews(Reader):
    """Answers every SYNC as if the device had missed nothing."""

    async def sync(self, user: int, *, req: int, after_conv: int, cursors: Mapping[int, int]) -> Synced:
        """Return an answer without entries."""
        return Synced(req, 0, ())


def chat(_topology: Topology) -> ChatPieces:
    return ChatPieces(reader=NoNews)
