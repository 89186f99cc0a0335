"""What was handed to each chat service of late. If it dies, another one gets it.

What a dead chat service had taken may be done, answered, or lost. All of it may be done twice: a SEND has its
client_seq, a read its req. So nobody has to wait for the device's own time limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from sut.protocol.peer import FetchHistory, FetchPage, PeerFrame, Submit, SyncDevice

KEEP_TICKS: Final = 10
"""Ticks (of 0.1 s) that a frame is kept: longer than a healthy chat service needs."""
MAX_KEPT: Final = 2_000
"""Frames kept for each chat service, the latest; 32 MB at the very worst."""
_AGAIN: Final = (Submit, FetchPage, FetchHistory, SyncDevice)


class _Given(NamedTuple):
    tick: int
    life: int
    frame: PeerFrame


class Handed:
    """The latest frames for each of `chats` chat services. A `life` is a number that changes with each of its links."""

    def __init__(self, chats: int) -> None:
        self._kept: Sequence[deque[_Given]] = [deque(maxlen=MAX_KEPT) for _ in range(chats)]

    def note(self, chat: int, life: int, frame: PeerFrame, tick: int) -> None:
        """Keep a frame that this chat service took, if it wants an answer."""
        if isinstance(frame, _AGAIN):
            self._kept[chat].append(_Given(tick, life, frame))

    def lost(self, chat: int, life: int, tick: int) -> list[PeerFrame]:
        """Return what was handed on just before the end of another life, each frame once. `life` 0: it has none now."""
        kept = self._kept[chat]
        lost: list[PeerFrame] = []
        while kept and kept[0].life != life:
            lost.append(kept.popleft().frame)
        while kept and kept[0].tick < tick - KEEP_TICKS:
            kept.popleft()
        return lost
