"""One partition: reads the log, applies the rule, answers and notifies at once, and stores afterwards.

The guarantee is the order of these steps. Records are applied strictly in log order. A record's row, and the state that
follows from it, reach the store in one write; the log offset is committed only after that write. So a restart replays
from the last commit. It finds in the state which records it has already applied, and computes the rest again to the
same numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, TypeVar

from sut.ports import ConversationWrite, Kind, Logged, LogRecord, MessageLog, MessageStore, Unavailable
from sut.process.metrics.instruments import Hop
from sut.process.trace import OFF, Trace
from sut.process.trace import Hop as Step
from sut.protocol.frames import Ack, Close, Entry, Flag, Message, Nack, Notify, Refused, encode
from sut.protocol.peer import HEAD_RECOVERING, HEAD_STORED
from sut.services.sequencer import rule
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.fresh import Fresh
from sut.services.sequencer.live import Live
from sut.services.sequencer.notification import Notification
from sut.services.stored import stored_to
from sut.services.waiting import to_tick_s, until_available, until_tick

POLL_S: Final = 0.25
"""Seconds that a worker without a poke waits before it reads the log: a lost poke costs this much."""
READ_LIMIT: Final = 256
STORE_SOON_S: Final = 0.1
"""Seconds until a new conversation or a change of members is stored. Before that the store does not know it, and
callers of the store (a SYNC, a FETCH beyond the sequencer's memory) ask again. Messages wait for the store's own
pace."""
MAX_UNSTORED: Final = 20_000
"""Records applied but not stored; beyond it reading pauses until the store catches up."""
MAX_UNSTORED_BYTES: Final = 32 << 20
"""Bytes of the bodies of such records; beyond it reading pauses likewise."""
MAX_HOT_BYTES: Final = 32 << 20
"""Bytes of rows of one partition in memory; beyond it the least recently used conversations keep none."""
MAX_LIVE: Final = 20_000
"""Conversations of one partition kept in memory."""
WARM_AT_ONCE: Final = 32
LAG_S: Final = 1.0
MAX_WANTED: Final = 5_000
"""Conversations asked about that are not in memory; more are not remembered."""

T = TypeVar("T")
log = logging.getLogger("sequencer")


class PartitionWorker:
    """Sequences one partition. Several workers on one partition do no harm (see rule.py)."""

    def __init__(
        self,
        partition: int,
        *,
        message_log: MessageLog,
        store: MessageStore,
        emitter: Emitter,
        group_cap: int,
        trace: Trace = OFF,
    ) -> None:
        self.partition = partition
        self._log = message_log
        self._store = store
        self._emitter = emitter
        self._group_cap = group_cap
        self._trace = trace
        self._live: OrderedDict[int, Live] = OrderedDict()
        self._dirty: dict[int, Live] = {}
        self._writing: dict[int, Live] = {}
        self._unstored = 0
        self._unstored_bytes = 0
        self._hot_bytes = 0
        self._grown = asyncio.Event()
        self._soon = asyncio.Event()
        self._wanted: dict[int, None] = {}
        self._want = asyncio.Event()
        self._position = 0
        self._end_at_start = 0
        self.fresh = Fresh()
        self.caught_up = False
        """True once it has applied everything that was in its log when it started."""
        self.committed = 0
        self.applied = 0
        self.repeated = self.refused = 0
        """SENDs that were in the log before, and records that the rule refused."""
        self.lag: int | None = None
        """Records of the log that were not applied when it was last asked; None: not known."""
        self._hop, self._storing = Hop("sequencer"), Hop("store")

    def poke(self) -> None:
        """Read the log now, because it has grown."""
        self._grown.set()

    def early(self, record: bytes) -> None:
        """Ignore a record that is not in the log yet. A known-bad variant overrides this."""

    @property
    def position(self) -> int:
        """The offset of the last record applied."""
        return self._position

    @property
    def unstored(self) -> int:
        """The number of records applied but not yet stored and committed."""
        return self._unstored

    @property
    def conversations(self) -> int:
        """The number of conversations in memory."""
        return len(self._live)

    @property
    def unknown_head(self) -> int:
        """The head to report for a conversation that is not in memory."""
        return HEAD_STORED if self.caught_up else HEAD_RECOVERING

    def live(self, conv: int) -> Live | None:
        """Return the conversation if it is in memory. If not, queue it for loading.

        After a restart all devices ask how far their conversations have come. This way the store is asked once for each
        conversation, not once for each device.
        """
        live = self._live.get(conv)
        if live is not None:
            return live
        if self.caught_up and len(self._wanted) < MAX_WANTED and len(self._live) < MAX_LIVE:
            self._wanted[conv] = None
            self._want.set()
        return None

    def all_live(self) -> Iterable[Live]:
        """Return the conversations in memory."""
        return self._live.values()

    async def run(self) -> None:
        """Recover from the last commit, then follow the log for ever."""
        self._position = self.committed = await self.begin_after()
        self._end_at_start = await self._until_available(lambda: self._log.end(self.partition))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._store_behind())
            group.create_task(self._warm())
            group.create_task(self._follow())
            group.create_task(self.watch_lag())

    async def begin_after(self) -> int:
        """Return the offset up to which the log need not be read again. A variant overrides this."""
        return await stored_to(self._log, self._store, self.partition, who=f"sequencer of partition {self.partition}")

    async def committed_before(self) -> int:
        """Return the offset that the last life of this partition's sequencer committed."""
        return await self._until_available(lambda: self._log.committed(self.partition))

    async def _follow(self) -> None:
        began, behind = time.monotonic(), self._end_at_start - self._position
        while True:
            if self._unstored > MAX_UNSTORED or self._unstored_bytes > MAX_UNSTORED_BYTES:
                await asyncio.sleep(STORE_SOON_S)
                continue
            if not self.caught_up and self._position >= self._end_at_start:
                self.caught_up = True
                took_s, known = time.monotonic() - began, len(self._live)
                log.info(
                    "partition %d is up to date: %d records again, %d conversations, %.1f s",
                    self.partition, behind, known, took_s, extra={"partition": self.partition},
                )  # fmt: skip
            self._grown.clear()
            batch = await self._until_available(lambda: self._log.read(self.partition, self._position, READ_LIMIT))
            if batch:
                await self._apply(batch)
                continue
            loop = asyncio.get_running_loop()
            poll = loop.call_later(to_tick_s(loop.time(), POLL_S), self._grown.set)
            await self._grown.wait()
            poll.cancel()

    async def watch_lag(self) -> None:
        """Ask each second how far the log has grown, for ever."""
        while True:
            await until_tick(LAG_S)
            try:
                self.lag = max(0, await self._log.end(self.partition) - self._position)
            except Unavailable:
                self.lag = None

    async def _apply(self, batch: list[Logged]) -> None:
        began_s = time.monotonic()
        await self._load({item.record.conv for item in batch})
        notifications: list[Notification] = []
        replayed: set[int] = set()
        for item in batch:
            seq = await self.number(item.record)
            notification = self._one(item.offset, item.record, seq, replayed)
            if notification is not None:
                notifications.append(notification)
            self._position = item.offset
        for conv in replayed:
            live = self._live[conv]
            notifications.append(_heads_up(conv, live.state.head, live.state.members()))
        for notification in notifications:
            await self._emitter.notify(notification)
        self._measure(batch, time.monotonic() - began_s)
        self._forget_rows({item.record.conv for item in batch})

    def _measure(self, batch: list[Logged], took_s: float) -> None:
        for record in (item.record for item in batch):
            if record.kind == Kind.MESSAGE:
                self._hop.took_for(took_s, record.device, record.client_seq, self._trace.every)
            else:
                self._hop.took(took_s)

    def _forget_rows(self, just_used: set[int]) -> None:
        """Keep the rows in memory within MAX_HOT_BYTES. Those that are not stored yet stay."""
        if self._hot_bytes <= MAX_HOT_BYTES:
            return
        kept = just_used | self._dirty.keys() | self._writing.keys()
        for conv, live in self._live.items():
            if conv not in kept and live.hot:
                self._hot_bytes -= live.hot.size
                live.hot.clear()
                if self._hot_bytes <= MAX_HOT_BYTES * 7 // 8:  # so that the next ones need no search
                    return

    async def number(self, record: LogRecord) -> int | None:
        """Return the number for a new message. None: the rule derives it from the log. A variant overrides this."""
        return None

    def _one(self, offset: int, record: LogRecord, seq: int | None, replayed: set[int]) -> Notification | None:
        live = self._live.get(record.conv)
        if live is not None and offset <= live.state.applied:
            replayed.add(record.conv)
        state, outcome = rule.apply(live.state if live else None, offset, record, group_cap=self._group_cap, seq=seq)
        self.applied += 1
        self._unstored += 1
        self._unstored_bytes += len(record.body)
        if state is None:
            self._answer(record, outcome)
            return None
        if live is None:
            live = self._live[record.conv] = Live(state)
        self._live.move_to_end(record.conv)
        self._dirty[record.conv] = live
        return self.settle(live, record, outcome)

    def settle(self, live: Live, record: LogRecord, outcome: rule.Outcome) -> Notification | None:
        """Note the changes to store, answer the sender, and return the notification of the members."""
        self._answer(record, outcome)
        state = live.state
        match outcome:
            case rule.Created():
                self._soon.set()
                live.changed().spans.update({(s.user, s.first): s for spans in state.spans.values() for s in spans})
                self.fresh.changed(state.applied, state.conv, state.spans)
                return None
            case rule.Sequenced(message, span, roles):
                unstored = live.changed()
                unstored.rows.append(message)
                before = live.hot.size
                live.hot.append(message)
                self._hot_bytes += live.hot.size - before
                if span is not None:
                    self._soon.set()
                    unstored.spans[span.user, span.first] = span
                    self.fresh.changed(state.applied, state.conv, (span.user,))
                if roles:
                    self._soon.set()
                    unstored.roles.update((mark.user, mark) for mark in roles)
                if record.kind == Kind.MESSAGE:
                    unstored.marks[record.device] = state.marks[record.device]
                return self._tell_members(live, record, outcome)
            case rule.Refused(Nack.NOT_MEMBER) if record.kind == Kind.MESSAGE:
                live.changed().marks[record.device] = state.marks[record.device]
        return None

    def _tell_members(self, live: Live, record: LogRecord, outcome: rule.Sequenced) -> Notification:
        state, row = live.state, outcome.message
        if record.kind == Kind.MESSAGE:
            self._trace.message(Step.APPLIED, row.device, row.client_seq, state.conv, row.seq)
        if state.kind == rule.DIRECT:
            frame = encode(Message(state.conv, row.seq, row.flags, row.user, row.device, row.client_seq, row.body))
        else:
            frame = encode(Notify((Entry(state.conv, row.seq, row.flags),)))
        told = state.members()
        if row.flags & Flag.MEMBER_REMOVE:  # it is not theirs to read, but theirs to know
            told.append(row.user)
        return Notification(frame, tuple(told), record.device if record.kind == Kind.MESSAGE else 0)

    def _answer(self, record: LogRecord, outcome: rule.Outcome) -> None:
        self.repeated += isinstance(outcome, rule.Repeated)
        if isinstance(outcome, rule.Refused):
            self.refused += 1
            self._hop.failed()
        if record.origin is None:
            return
        close = 0
        match outcome:
            case rule.Sequenced(message):
                frame = Ack(record.conv, record.client_seq, message.seq)
            case rule.Created():
                frame = Ack(record.conv, record.client_seq, 0)
            case rule.Repeated(seq):
                frame = Ack(record.conv, record.client_seq, seq)
            case rule.Refused(code, highest):
                if highest:
                    used = Refused(record.conv, highest, Nack.USED_UP_TO)
                    self._emitter.answer(record.origin, encode(used))
                close = Close.FOREIGN if code == Nack.FOREIGN and record.kind == Kind.MESSAGE else 0
                self._emitter.answer(record.origin, encode(Refused(record.conv, record.client_seq, code)), close=close)
                return
            case _:
                return
        self._emitter.answer(record.origin, encode(frame))

    async def _load(self, convs: set[int]) -> None:
        missing = [conv for conv in convs if conv not in self._live]
        if not missing:
            return
        images = await asyncio.gather(
            *(
                self._until_available(partial(self._store.load, conv, confirmed=self.committed))
                for conv in missing  # at most READ_LIMIT
            )
        )
        for conv, image in zip(missing, images, strict=True):
            if image is not None and conv not in self._live:  # another task may have loaded it and applied records
                self._live[conv] = Live(rule.Conversation.from_image(image))
        while len(self._live) > MAX_LIVE:
            kept = convs | self._dirty.keys() | self._writing.keys()  # the latter two are not stored yet
            oldest = next((conv for conv in self._live if conv not in kept), None)
            if oldest is None:
                break
            self._hot_bytes -= self._live.pop(oldest).hot.size

    async def _warm(self) -> None:
        """Load the conversations that were asked about, a few at a time, for ever."""
        while True:
            await self._want.wait()
            self._want.clear()
            while self._wanted:
                taken = [conv for conv, _ in zip(list(self._wanted), range(WARM_AT_ONCE), strict=False)]
                await self._load(set(taken))
                for conv in taken:
                    self._wanted.pop(conv, None)  # after the load: requests during it need no second load

    async def _store_behind(self) -> None:
        while True:
            pause_s = self._store.pace.rows_s * random.uniform(0.7, 1.0)  # so that partitions do not write together
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause_s - STORE_SOON_S)):
                    await self._soon.wait()
            await asyncio.sleep(STORE_SOON_S)
            self._soon.clear()
            if self._position > self.committed:
                await self.store()

    async def store(self) -> None:
        """Write the unstored changes, then commit the log up to them. A variant overrides this."""
        began_s = time.monotonic()
        position, count, size = self._position, self._unstored, self._unstored_bytes
        writes = self.take_writes()
        if writes:
            await self._until_available(lambda: self._store.write(self.partition, writes))
        await self._until_available(lambda: self._log.commit(self.partition, position))
        self._writing = {}
        self.committed = position
        self._unstored -= count
        self._unstored_bytes -= size
        self.fresh.stored(position, time.monotonic())
        self._storing.took(time.monotonic() - began_s)

    def take_writes(self) -> list[ConversationWrite]:
        """Return all changes since the last call. They must be stored before any later ones."""
        self._writing, self._dirty = self._dirty, {}
        return [write for live in self._writing.values() if (write := live.take_write()) is not None]

    async def _until_available(self, action: Callable[[], Awaitable[T]]) -> T:
        """Repeat an idempotent action until the backend answers: a sequencer cannot continue without it."""
        return await until_available(action, f"sequencer of partition {self.partition}")


def _heads_up(conv: int, head: int, members: list[int]) -> Notification:
    """Announce the head after a restart, because earlier notifications may not have arrived."""
    return Notification(encode(Notify((Entry(conv, head, 0),))), tuple(members), 0)
