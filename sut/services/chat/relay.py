"""Words of devices on their way to the sequencers: receipts joined for a moment, typing at once.

What a device has shown or read is cumulative, so of many words on one (conversation, user, kind) only the highest
travels, once in `FLUSH_S`. A link that is down loses them: devices say again what they said, with their next SYNC.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from sut.process.partitioning import partition_of
from sut.process.peer import PeerLink
from sut.protocol.peer import Changed, Progress, TypingIn

FLUSH_S: Final = 0.1
MAX_WAITING: Final = 50_000
MAX_ITEMS: Final = 2_000
"""Of one frame, some 60 KB."""


class Relay:
    """One for all links of a chat service."""

    def __init__(self, sequencers: Mapping[int, PeerLink], *, receipts: bool = True) -> None:
        """`sequencers`: by partition. `receipts` False: what devices say of their progress goes no further."""
        self._receipts = receipts
        self._sequencers = sequencers
        self._waiting: dict[tuple[int, int, int], int] = {}
        self._work = asyncio.Event()
        self.lost = 0
        """Words that nobody took."""

    def progress(self, conv: int, user: int, kind: int, seq: int) -> None:
        """A device has shown (kind 0) or its person read (1) everything up to `seq`."""
        if not self._receipts:
            return
        key = conv, user, kind
        if key not in self._waiting and len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            return
        self._waiting[key] = max(seq, self._waiting.get(key, 0))
        self._work.set()

    def typing(self, frame: TypingIn) -> None:
        """Hand it on now."""
        self.lost += not self._of(frame.conv).send(frame)

    def changed(self, frame: Changed) -> None:
        """To every sequencer. Only the known-bad variant eager_presence has gateways say so."""
        for link in set(self._sequencers.values()):
            link.send(frame)

    async def run(self) -> None:
        """Hand on what waits, for ever."""
        while True:
            await self._work.wait()
            await asyncio.sleep(FLUSH_S)
            self._work.clear()
            self.flush()

    def flush(self) -> None:
        """Hand on what waits."""
        waiting, self._waiting = self._waiting, {}
        by_link: defaultdict[PeerLink, list[tuple[int, int, int, int]]] = defaultdict(list)
        for (conv, user, kind), seq in waiting.items():
            by_link[self._of(conv)].append((conv, user, kind, seq))
        for link, items in by_link.items():
            for start in range(0, len(items), MAX_ITEMS):
                part = tuple(items[start : start + MAX_ITEMS])
                if not link.send(Progress(part)):
                    self.lost += len(part)

    def _of(self, conv: int) -> PeerLink:
        return self._sequencers[partition_of(conv, len(self._sequencers))]
