"""Passes devices' reports to the sequencers: receipts joined for FLUSH_S, typing at once.

Shown and read positions are cumulative, so of many reports on one (conversation, user, kind) only the highest is
sent, once in `FLUSH_S`. A link that is down loses them: devices repeat their reports with their next SYNC.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from sut.process.partitioning import partition_of
from sut.process.peer import PeerLink
from sut.protocol.peer import Changed, Progress, TypingIn

FLUSH_S: Final = 0.05
"""Gateways have gathered them before, for up to 0.1 s."""
MAX_WAITING: Final = 50_000
MAX_ITEMS: Final = 2_000
"""Receipts in one frame, some 60 KB."""


class Relay:
    """The relay for all links of a chat service."""

    def __init__(self, sequencers: Mapping[int, PeerLink], *, receipts: bool = True) -> None:
        """`sequencers`: by partition. `receipts` False: reports of progress are dropped here."""
        self._receipts = receipts
        self._sequencers = sequencers
        self._waiting: dict[tuple[int, int, int], tuple[int, int]] = {}
        """(conv, user, kind) -> the highest seq, and the device that reported it."""
        self._work = asyncio.Event()
        self.lost = 0
        """Reports that no sequencer took."""

    def progress(self, conv: int, user: int, kind: int, seq: int, *, device: int) -> None:
        """Report that this device has shown (kind 0) or its user has read (1) everything up to `seq`."""
        if not self._receipts:
            return
        key = conv, user, kind
        if key not in self._waiting and len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            return
        self._waiting[key] = max((seq, device), self._waiting.get(key, (0, 0)))
        self._work.set()

    def typing(self, frame: TypingIn) -> None:
        """Pass the frame on at once."""
        self.lost += not self._of(frame.conv).send(frame)

    def changed(self, frame: Changed) -> None:
        """Send it to every sequencer. Only gateways of the known-bad variant eager_presence report this."""
        for link in set(self._sequencers.values()):
            link.send(frame)

    async def run(self) -> None:
        """Send the waiting reports once in FLUSH_S, for ever."""
        while True:
            await self._work.wait()
            await asyncio.sleep(FLUSH_S)
            self._work.clear()
            self.flush()

    def flush(self) -> None:
        """Send the waiting reports now."""
        waiting, self._waiting = self._waiting, {}
        by_link: defaultdict[PeerLink, list[tuple[int, int, int, int, int]]] = defaultdict(list)
        for (conv, user, kind), (seq, device) in waiting.items():
            by_link[self._of(conv)].append((conv, user, kind, seq, device))
        for link, items in by_link.items():
            for start in range(0, len(items), MAX_ITEMS):
                part = tuple(items[start : start + MAX_ITEMS])
                if not link.send(Progress(part)):
                    self.lost += len(part)

    def _of(self, conv: int) -> PeerLink:
        return self._sequencers[partition_of(conv, len(self._sequencers))]
