"""Reads one partition of the log for push: the new head of each conversation, and the members to notify.

It applies the sequencer's rule (sequencer/rule.py) itself. No service has to inform this one, so nothing is forgotten
when either of them dies. A conversation's state comes from the store, and from the log after that. Reading begins at
the lower of its own commit and what the store has, so nothing between them is missing.

A record is passed on once its sequencer has applied it too (progress.py). A loaded state may already include a record:
then its sequence number is not known. In that case the present members are notified of the present head, which covers
it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeVar

from sut.ports import Follower, Kind, Logged, MessageLog, MessageStore
from sut.services.push.floor import Floor
from sut.services.push.lane import Hold
from sut.services.sequencer import rule
from sut.services.stored import stored_to
from sut.services.waiting import until_available, until_tick

POLL_S: Final = 0.1
READ_LIMIT: Final = 256
LOADS: Final = 64
"""Conversations that are read from the store together. With 8 partitions that is half of what a store lets wait."""
MAX_LIVE: Final = 20_000
"""The number of conversations of one partition in memory. More are kept while the store does not have them yet."""

T = TypeVar("T")


class Reached(NamedTuple):
    """A conversation has reached a sequence number. Devices of these users must know, except the sending device."""

    hold: Hold
    conv: int
    seq: int
    users: tuple[int, ...]
    except_device: int
    at_s: float
    """When the sequencer was found to have applied the record (time.monotonic)."""
    fresh: bool = True
    """True unless the record was there when this process started."""
    pushed: frozenset[int] = frozenset()
    """Devices whose pushes an earlier decision about this record requested."""


class Applied(Protocol):
    """Waits for sequencers (progress.py)."""

    async def wait(self, partition: int, offset: int) -> None:
        """Return when the sequencer has applied this record."""


class PartitionReader:
    """Reads one partition for ever. Each result holds the floor; its receiver releases that."""

    def __init__(
        self,
        partition: int,
        *,
        message_log: MessageLog,
        store: MessageStore,
        floor: Floor,
        group_cap: int,
        progress: Applied,
        put: Callable[[Reached], Awaitable[None]],
    ) -> None:
        """`put` may wait; nothing more is read meanwhile."""
        self._partition = partition
        self._who = f"push of partition {partition}"
        self._log = message_log
        self._store = store
        self._floor = floor
        self._group_cap = group_cap
        self._progress = progress
        self._put = put
        self._states: OrderedDict[int, rule.Conversation] = OrderedDict()
        self._position = 0
        self._done_before = 0
        self._stored_to = 0
        self._end_at_start = 0
        self.caught_up = False
        """True once it has read everything that was in the log when it started."""

    async def run(self) -> None:
        """Begin at the lower of its own commit and what the store has, then follow the log for ever."""
        mine = partial(self._log.committed, self._partition, Follower.PUSH)
        self._done_before = await self._until_available(mine)
        self._stored_to = await stored_to(self._log, self._store, self._partition, who=self._who)
        self._end_at_start = await self._until_available(partial(self._log.end, self._partition))
        self._position = min(self._done_before, self._stored_to)
        self._floor.read_to(self._position)
        while True:
            self.caught_up = self.caught_up or self._position >= self._end_at_start
            batch = await self._until_available(lambda: self._log.read(self._partition, self._position, READ_LIMIT))
            if batch:
                await self._take(batch)
            else:
                await until_tick(POLL_S)

    async def _take(self, batch: list[Logged]) -> None:
        await self._load({item.record.conv for item in batch})
        for item in batch:
            reached = self._one(item)
            if reached is not None:
                self._floor.hold(item.offset)
            self._floor.read_to(item.offset)
            self._position = item.offset
            if reached is not None:
                await self._progress.wait(self._partition, item.offset)
                fresh = item.offset > self._end_at_start
                await self._put(reached._replace(at_s=time.monotonic(), fresh=fresh))

    def _one(self, item: Logged) -> Reached | None:
        offset, record = item.offset, item.record
        before = self._states.get(record.conv)
        beyond = before is not None and offset <= before.applied
        state, outcome = rule.apply(before, offset, record, group_cap=self._group_cap)
        if state is None:
            return None
        self._states[record.conv] = state
        self._states.move_to_end(record.conv)
        if record.kind != Kind.MESSAGE or offset <= self._done_before:
            return None
        if isinstance(outcome, rule.Sequenced):
            seq = outcome.message.seq
        elif beyond and state.head:
            seq = state.head
        else:
            return None
        hold = Hold(self._partition, offset)
        return Reached(hold, record.conv, seq, tuple(state.members()), record.device, 0.0)

    async def _load(self, convs: set[int]) -> None:
        missing = [conv for conv in convs if conv not in self._states]
        for start in range(0, len(missing), LOADS):
            some = missing[start : start + LOADS]
            loads = (self._until_available(partial(self._store.load, conv)) for conv in some)
            for conv, image in zip(some, await asyncio.gather(*loads), strict=True):
                if image is not None:
                    self._states[conv] = rule.Conversation.from_image(image)
        if len(self._states) > MAX_LIVE:
            await self._forget(convs)

    async def _forget(self, needed: set[int]) -> None:
        """Drop the oldest conversations whose known state is in the store."""
        self._stored_to = await self._until_available(partial(self._log.committed, self._partition))
        spare = len(self._states) - MAX_LIVE
        stored = (c for c, s in self._states.items() if s.applied <= self._stored_to and c not in needed)
        for conv in [conv for conv, _ in zip(stored, range(spare), strict=False)]:
            del self._states[conv]

    async def _until_available(self, action: Callable[[], Awaitable[T]]) -> T:
        return await until_available(action, self._who)
