"""FETCH and SYNC: from the sequencers' memory where that is enough, else from the store.

The sequencer knows what was sequenced this instant; the store has everything older. A sequencer that is away makes
an answer older, never wrong: SYNCED then says STALE, and the device asks again. Which conversations are a user's says
the store, which trails the log, and each sequencer for those that it has applied and not stored.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

from sut.ports import MessageStore, Span, Unavailable
from sut.process.partitioning import partition_of
from sut.protocol.frames import MAX_FETCH, MAX_SYNC_CURSORS, SYNCED_MORE, SYNCED_STALE, Entry, Page, Synced
from sut.protocol.frames import encode as encode_frame
from sut.protocol.peer import (
    HEAD_RECOVERING,
    HEAD_STORED,
    Heads,
    HotPage,
    Members,
    ReadBefore,
    ReadHeads,
    ReadHot,
    ReadMembers,
)
from sut.services.chat.heads import HeadQuestions
from sut.services.chat.shared import SharedPages
from sut.services.covered import Way
from sut.services.sequencer.live import Live
from sut.services.sequencer.state import Conversation
from sut.services.visibility import cut_back, cut_page, stretch_before

ASK_TIMEOUT_S: Final = 0.5
RESTART_S: Final = 10.0
"""Time that a sequencer usually needs to come back. Meanwhile SYNC does not ask the store for its heads: the sequencer
needs the store itself, all devices of a gateway ask just then, and everybody is told what it numbers again."""
MAX_ID: Final = (1 << 63) - 1
"""Highest id of a conversation."""
MAX_STORE_PAGES: Final = 10
"""Pages of a user's conversations read for one SYNC: 10,000 conversations."""


class NotMember(Exception):
    """The user never was a member of the conversation."""


class Reader:
    """Reads for devices, within what their users may see."""

    def __init__(
        self, store: MessageStore, sequencers: Mapping[int, Way], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._clock = clock
        self._sequencers = sequencers
        """The way to the sequencer of each partition."""
        self._heads_of = {way: HeadQuestions(way, timeout_s=ASK_TIMEOUT_S) for way in sequencers.values()}
        self._shared = SharedPages()
        self._away: dict[int, float] = {}
        """Partitions whose sequencer does not answer or is not up to date yet -> since when (clock time)."""
        self.hot = 0
        self.cold = 0

    @property
    def shared(self) -> int:
        """Pages given from memory, without a question to a sequencer."""
        return self._shared.given

    def asks(self, conv: int) -> str:
        """Return the sequencer that is asked first for a page of this conversation."""
        return self._link(conv).target

    def at_hand(self, conv: int, user: int, *, after: int, limit: int) -> bytes | None:
        """Return what `page` would return, if it is in memory now."""
        return self._shared.get((conv, after, _bounded(limit)), user, self._clock())

    async def page(self, conv: int, user: int, *, after: int, limit: int) -> bytes:
        """Return an encoded PAGE with req 0. Raises NotMember, Unavailable."""
        limit = _bounded(limit)
        key = conv, after, limit
        mine = await self._shared.turn(key)
        if not mine and (page := self._shared.get(key, user, self._clock())) is not None:
            return page
        try:
            answer = await self._ask(ReadHot(conv, user, after, limit))
            self._shared.put(key, answer.page, answer.readers, self._clock())
        finally:
            if mine:
                self._shared.done(key)
        stored = partial(self._stored_page, conv, user, after, limit, told=answer.head)
        return await self._answered(conv, user, answer, stored)

    async def _answered(self, conv: int, user: int, answer: HotPage, stored: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the sequencer's page, or what `stored` reads if that was a miss. Raises NotMember, Unavailable."""
        if not answer.hit:
            try:
                return await stored()
            except NotMember:
                if answer.head == HEAD_STORED:
                    raise
                # Created or joined just now: the store follows. Only an up-to-date sequencer may say "never a member".
                raise Unavailable(f"conversation {conv} is not stored as far as user {user} may see it") from None
        if not answer.member:
            raise NotMember
        self.hot += 1
        return answer.page

    async def _ask(self, question: ReadHot | ReadBefore) -> HotPage:
        """Return the sequencer's answer; a miss when it is away."""
        try:
            answer = await self._link(question.conv).ask(question, ASK_TIMEOUT_S)
        except Unavailable:
            return HotPage(hit=False, member=False, head=HEAD_RECOVERING, page=b"")
        assert isinstance(answer, HotPage)
        return answer

    def _link(self, conv: int) -> Way:
        return self._sequencers[partition_of(conv, len(self._sequencers))]

    async def _stored_page(self, conv: int, user: int, after: int, limit: int, *, told: int) -> bytes:
        """Return a PAGE from the store. `told`: the sequencer's head; what it has numbered need not be stored yet.

        While no sequencer can say how far the conversation goes, stored rows are given, but not the claim that there
        are no more. Raises NotMember, Unavailable.
        """
        self.cold += 1
        rows = await self._store.page(conv, after, limit)
        head, spans = await self._stays(conv, user)  # after the rows: the spans are at least as new as they are
        if not rows and head > after:
            # Rows came between the two reads, or expired: then everything that the state knows of is covered.
            rows = await self._store.page(conv, after, limit)
            covered = rows[-1].seq if rows else head
        else:
            covered = rows[-1].seq if len(rows) == limit else max(after, rows[-1].seq if rows else 0)
        page: Page = cut_page(conv, spans, rows, after=after, covered=covered, head=head)
        if told == HEAD_RECOVERING and page.through <= after:
            raise Unavailable(f"conversation {conv}: its sequencer is away, and nothing is stored beyond {after}")
        return encode_frame(page._replace(head=max(page.head, told)))

    async def _stays(self, conv: int, user: int) -> tuple[int, list[Span]]:
        """Return the stored head, and the user's stays in order. Raises NotMember, Unavailable."""
        image = await self._store.load(conv)
        spans = [] if image is None else [span for span in image.spans if span.user == user]
        if image is None or not spans:
            raise NotMember
        return image.row.head, sorted(spans, key=lambda span: span.first)

    async def page_before(self, conv: int, user: int, *, before: int, limit: int) -> bytes:
        """Return an encoded PAGE of the rows before `before`, with req 0. Raises NotMember, Unavailable."""
        limit = _bounded(limit)
        answer = await self._ask(ReadBefore(conv, user, before, limit))
        stored = partial(self._stored_before, conv, user, before, limit, told=answer.head)
        return await self._answered(conv, user, answer, stored)

    async def _stored_before(self, conv: int, user: int, before: int, limit: int, *, told: int) -> bytes:
        """`told`: as in _stored_page. Reads the state before the rows, so that all rows up to its head are there."""
        self.cold += 1
        head, spans = await self._stays(conv, user)
        if spans[-1].end == 0 and min(before - 1, told) > head:
            raise Unavailable(f"conversation {conv} is stored up to {head} only")
        stretch = stretch_before(spans, before, head)
        rows = await self._store.page_before(conv, stretch.end, limit) if stretch.first < stretch.end else []
        return encode_frame(cut_back(conv, spans, rows, stretch, exhausted=len(rows) < limit, head=head))

    async def members(self, conv: int, user: int) -> Members:
        """Return the members, to a user who is one. Raises NotMember, Unavailable."""
        try:
            answer = await self._link(conv).ask(ReadMembers(conv), ASK_TIMEOUT_S)
        except Unavailable:
            answer = Members(HEAD_RECOVERING, "", ())
        assert isinstance(answer, Members)
        told = answer.head
        if told < 0:
            image = await self._store.load(conv)
            if image is not None:
                answer = Live(Conversation.from_image(image)).members()
        if user not in {member for member, _, _ in answer.members}:
            if told == HEAD_RECOVERING:
                raise Unavailable(f"conversation {conv}: its sequencer is away")
            raise NotMember
        return answer

    async def sync(self, user: int, *, req: int, after_conv: int, cursors: Mapping[int, int]) -> Synced:
        """Return which of the user's conversations are ahead of `cursors`, by rising id above `after_conv`.

        Those behind them too, where every sequencer knew: the device has seen what the log does not have any more.
        Raises Unavailable.
        """
        entries: list[Entry] = []
        stale = False
        for _ in range(MAX_STORE_PAGES):
            lives = self._lives()
            known = await self._store.conversations_of(user, after_conv, MAX_SYNC_CURSORS)
            last = known[-1] if len(known) == MAX_SYNC_CURSORS else MAX_ID
            heads, complete = await self._heads(user, known, within=range(after_conv + 1, last + 1))
            # What a sequencer stored just before it died, another one does not know to be fresh.
            complete = complete and self._lives() == lives
            stale = stale or not complete
            ahead = [
                Entry(conv, head, 0)
                for conv, head in heads.items()
                if head > cursors.get(conv, 0) or (complete and head < cursors.get(conv, 0))
            ]
            room = MAX_SYNC_CURSORS - 1 - len(entries)
            entries += ahead[:room]
            if len(ahead) > room:
                break
            if len(known) < MAX_SYNC_CURSORS:
                return Synced(req, SYNCED_STALE if stale else 0, tuple(entries))
            after_conv = known[-1]
        else:
            entries.append(Entry(after_conv, 0, 0))  # carries no news, only where to ask next
        return Synced(req, SYNCED_MORE | (SYNCED_STALE if stale else 0), tuple(entries))

    def _lives(self) -> list[object]:
        return [way.life for way in self._sequencers.values()]

    async def _heads(self, user: int, convs: Sequence[int], *, within: range) -> tuple[dict[int, int], bool]:
        """The newest heads by rising conversation, of `convs` and of those `within` that the store does not know as the
        user's yet; and whether every sequencer was there to say.

        The store is asked afterwards, and only for conversations that no sequencer has in memory: by then it has what
        they dropped. Conversations that neither knows are left out, and those whose sequencer is just being restarted.
        """
        told, fresh, complete = await self._told(user, convs)
        unknown = [conv for conv in convs if told[conv] < 0 and not self._restarts(conv)]
        heads = {conv: head for conv, head in told.items() if head >= 0}
        if unknown:
            heads |= await self._store.heads(user, unknown)
        for conv, head in fresh.items():
            if conv in within:
                heads[conv] = max(head, heads.get(conv, 0))
        return {conv: heads[conv] for conv in sorted(heads)}, complete and HEAD_RECOVERING not in told.values()

    async def _told(self, user: int, convs: Sequence[int]) -> tuple[dict[int, int], dict[int, int], bool]:
        """Return the sequencers' answers for `convs`: a head, HEAD_STORED or HEAD_RECOVERING (also if it is away); then
        the heads of conversations that the user has just joined; then True if all answered and were up to date.
        """
        by_link: dict[Way, list[int]] = {link: [] for link in self._sequencers.values()}
        for conv in convs:
            by_link[self._sequencers[partition_of(conv, len(self._sequencers))]].append(conv)
        answers = await asyncio.gather(
            *(self._heads_of[link].ask(ReadHeads(user, tuple(asked))) for link, asked in by_link.items()),
            return_exceptions=True,
        )
        told = dict.fromkeys(convs, HEAD_RECOVERING)
        fresh: dict[int, int] = {}
        complete = True
        for asked, answer in zip(by_link.values(), answers, strict=True):
            if isinstance(answer, Heads):
                told |= dict(zip(asked, answer.heads, strict=True))
                fresh |= dict(answer.fresh)
                complete = complete and answer.complete
            elif isinstance(answer, BaseException) and not isinstance(answer, Unavailable):
                raise answer
            else:
                complete = False
        for conv, head in told.items():
            partition = partition_of(conv, len(self._sequencers))
            if head == HEAD_RECOVERING:
                self._away.setdefault(partition, self._clock())
            elif head == HEAD_STORED:  # only an up-to-date sequencer says so; it may know a head earlier
                self._away.pop(partition, None)
        return told, fresh, complete

    def _restarts(self, conv: int) -> bool:
        since = self._away.get(partition_of(conv, len(self._sequencers)))
        return since is not None and self._clock() - since < RESTART_S


def _bounded(limit: int) -> int:
    return max(1, min(limit, MAX_FETCH))
