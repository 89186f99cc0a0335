"""Receipts: reports that a user received or read messages, passed on to their authors. Damped, and never early.

A device's report comes after the display that it reports, so the receipt does too. Each report is cumulative: only the
highest of a (conversation, user, kind) counts, reports without news are dropped. Those within `window_s` go together,
one frame per author. A receipt goes to the authors of the rows that it newly covers and that are still in memory (the
newest 64). So a user who reads a thousand messages does not cause a thousand receipts. In a 1:1 conversation the author
is known without the rows. What a user has read is told to their other devices too, so that all count the same messages
as unread. All of it is in bounded memory. What is forgotten is at worst reported again, and a device never shows less
than it has shown.

A conversation that is not in memory is read from the store, a few at a time. Beyond that the report is dropped, and the
authors find it there when they ask the API.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sut.ports import MessageStore, StoredMessage, Unavailable
from sut.protocol.frames import encode
from sut.protocol.signals import Receipt, ReceiptKind, Receipts
from sut.services.sequencer.live import HOT_ROWS, Live, rows_between
from sut.services.sequencer.notification import Notification
from sut.services.sequencer.rule import DIRECT, Conversation
from sut.services.visibility import sees, visible_head
from sut.services.waiting import paced

WINDOW_S: Final = 0.15
MAX_PENDING: Final = 50_000
"""Reports that wait for the end of a window; more are dropped, and the devices repeat them."""
MAX_TOLD: Final = 200_000
"""(conversation, user, kind) keys whose number is remembered, some 30 MB."""
MAX_UNSAVED: Final = 100_000
MAX_COLD: Final = 1_000
"""Reports on conversations outside memory that may wait for the store."""
MAX_COLD_OF_USER: Final = 200
"""Of these, those of one user."""
MAX_ENTRIES: Final = 600
"""Receipts of one frame, 14 KB."""
SAVE_TICK_S: Final = 1.0

Key = tuple[int, int, int]
"""(conversation, user, kind) of a report."""
Word = tuple[int, int]
"""The highest number of a report, and the device that reported it."""
Letters = defaultdict[tuple[int, int], list[Receipt]]
"""(user to tell, device of theirs that knows it; 0: none) -> receipts."""
log = logging.getLogger("receipts")


class Told:
    """The highest number known for each (conversation, user, kind); forgets the least recently used conversations."""

    def __init__(self, limit: int = MAX_TOLD) -> None:
        self._limit = limit
        self._size = 0
        self._by_conv: OrderedDict[int, dict[tuple[int, int], int]] = OrderedDict()

    def highest(self, key: Key) -> int:
        """Return the highest number known, 0 when there is none."""
        conv, user, kind = key
        return self._by_conv.get(conv, {}).get((user, kind), 0)

    def raise_to(self, key: Key, seq: int) -> None:
        """Remember this number, unless a higher one is known."""
        conv, user, kind = key
        known = self._by_conv.setdefault(conv, {})
        self._by_conv.move_to_end(conv)
        self._size += (user, kind) not in known
        known[user, kind] = max(seq, known.get((user, kind), 0))
        while self._size > self._limit and len(self._by_conv) > 1:
            _, forgotten = self._by_conv.popitem(last=False)
            self._size -= len(forgotten)

    def of(self, conv: int) -> Mapping[tuple[int, int], int]:
        """Map (user, kind) to the highest number in this conversation."""
        return self._by_conv.get(conv, {})


class Cold:
    """The reports on conversations outside memory. One user after the other has a turn.

    Anybody may report on conversations that do not exist. That must not fill the queue for all others.
    """

    def __init__(self) -> None:
        self._of: dict[int, dict[Key, Word]] = {}
        """By user; the first has the next turn."""
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, key: Key, word: Word) -> bool:
        """Queue a report. Returns False if too many wait, of all users or of this one."""
        of_user = self._of.get(key[1], {})
        if key not in of_user:
            if self._size >= MAX_COLD or len(of_user) >= MAX_COLD_OF_USER:
                return False
            self._size += 1
        of_user[key] = max(word, of_user.get(key, (0, 0)))
        self._of[key[1]] = of_user
        return True

    def take(self) -> dict[Key, Word]:
        """Remove and return the reports of all users on the next conversation. There must be one."""
        user, of_user = next(iter(self._of.items()))
        self._of[user] = self._of.pop(user)
        conv = next(iter(of_user))[0]
        found = {key: word for reports in self._of.values() for key, word in reports.items() if key[0] == conv}
        for key in found:
            del self._of[key[1]][key]
            if not self._of[key[1]]:
                del self._of[key[1]]
        self._size -= len(found)
        return found


@dataclass(frozen=True, slots=True)
class View:
    """A conversation's state and its newest rows in order."""

    state: Conversation
    rows: Sequence[StoredMessage]

    def authors(self, *, user: int, after: int, seq: int) -> set[int]:
        """Return the authors to notify that `user` advanced from `after`, the position known before, to `seq`."""
        spans = self.state.spans.get(user, [])
        if self.state.kind == DIRECT and (not self.rows or self.rows[0].seq > after + 1):
            return set(self.state.spans) - {user}
        covered = (row for row in rows_between(self.rows, after, seq) if not row.flags and sees(spans, row.seq))
        return {row.user for row in covered} - {user}


class ReceiptDesk:
    """Takes devices' reports and tells authors, for all partitions of a sequencer."""

    def __init__(
        self,
        *,
        live: Callable[[int], Live | None],
        store: MessageStore,
        offer: Callable[[Notification], bool],
        window_s: float = WINDOW_S,
    ) -> None:
        """`live`: returns a conversation that is in memory. `offer`: queues a notification or drops it under load."""
        self._live = live
        self._store = store
        self._offer = offer
        self._window_s = window_s
        self._pending: dict[Key, Word] = {}
        self._cold = Cold()
        self._unsaved: dict[Key, int] = {}
        self._work = asyncio.Event()
        self._cold_work = asyncio.Event()
        self.told = Told()
        self.taken = 0
        """Reports with a new, higher number."""
        self.sent = 0
        """Receipts passed on, counted once for each user who is told."""
        self.dropped = 0

    def take(self, words: Iterable[tuple[int, int, int, int, int]]) -> None:
        """Take reports (conv, user, kind, seq, device), in any order, repeated or not."""
        for conv, user, kind, seq, device in words:
            key = conv, user, kind
            if seq <= self.told.highest(key):
                continue
            if key not in self._pending and len(self._pending) >= MAX_PENDING:
                self.dropped += 1
                continue
            self._pending[key] = max((seq, device), self._pending.get(key, (0, 0)))
            self._work.set()

    async def run(self) -> None:
        """Tell authors at the end of each window with new reports, for ever."""
        while True:
            await self._work.wait()
            await asyncio.sleep(self._window_s)
            self._work.clear()
            self.flush()

    def flush(self) -> None:
        """Tell authors of the pending reports; queue those on conversations outside memory for the store."""
        pending, self._pending = self._pending, {}
        letters: Letters = defaultdict(list)
        for key, word in pending.items():
            live = self._live(key[0])
            if live is not None:
                self._settle(key, word, View(live.state, live.hot), letters)
            elif self._cold.put(key, word):
                self._cold_work.set()
            else:
                self.dropped += 1
        self._send(letters)

    def _settle(self, key: Key, word: Word, view: View, letters: Letters) -> None:
        """Settle one report: cap it at what the user may see and, if it is new, add a receipt for each author.

        The reader's other devices get one too.
        """
        conv, user, kind = key
        said, device = word
        seq = min(said, visible_head(view.state.spans.get(user, []), view.state.head))
        known = self.told.highest(key)
        if seq <= known:
            return
        self.taken += 1
        self.told.raise_to(key, seq)
        if key in self._unsaved or len(self._unsaved) < MAX_UNSAVED:
            self._unsaved[key] = seq
        for author in view.authors(user=user, after=known, seq=seq):
            limit = visible_head(view.state.spans.get(author, []), view.state.head)  # lower for one who was removed
            letters[author, 0].append(Receipt(conv, min(seq, limit), kind, user))
        if kind == ReceiptKind.READ:
            letters[user, device].append(Receipt(conv, seq, kind, user))

    def _send(self, letters: Letters) -> None:
        for (user, device), receipts in letters.items():
            for start in range(0, len(receipts), MAX_ENTRIES):
                part = tuple(receipts[start : start + MAX_ENTRIES])
                notification = Notification(encode(Receipts(part)), (user,), device, signal=True)
                if self._offer(notification):
                    self.sent += len(part)
                else:
                    self.dropped += len(part)

    async def run_cold(self) -> None:
        """Settle reports on conversations outside memory, one conversation after the other, for ever."""
        while True:
            await self._cold_work.wait()
            self._cold_work.clear()
            while self._cold:
                words = self._cold.take()
                conv = next(iter(words))[0]
                try:
                    await self._look_up(conv, words)
                except Unavailable as error:
                    self.dropped += len(words)
                    log.warning("conversation %d: %s", conv, error, extra={"conversation": conv})

    async def _look_up(self, conv: int, words: Mapping[Key, Word]) -> None:
        """Read the conversation from the store and settle its reports. Raises Unavailable."""
        image = await self._store.load(conv)
        if image is None:
            return
        for (user, kind), seq in (await self._store.receipts(conv)).items():
            self.told.raise_to((conv, user, kind), seq)
        last = min(max(seq for seq, _ in words.values()), image.row.head)
        rows = await self._store.page(conv, max(0, last - HOT_ROWS), HOT_ROWS)
        letters: Letters = defaultdict(list)
        view = View(Conversation.from_image(image), rows)
        for key, word in words.items():
            self._settle(key, word, view, letters)
        self._send(letters)

    async def save(self) -> None:
        """Write the unsaved numbers about once in the store's pace, for ever; devices repeat what is lost."""
        async for taken in paced(self._unsaved, tick_s=SAVE_TICK_S, pace_s=self._store.pace.cursors_s):
            try:
                await self._store.save_receipts([(*key, seq) for key, seq in taken.items()])
            except Unavailable as error:
                log.warning("receipts: %s", error)
