"""FETCH and SYNC: from the sequencers' memory where that is enough, else from the store.

The sequencer knows what was sequenced this instant; the store has everything older. A sequencer that is away makes
an answer older, never wrong: SYNCED then says STALE, and the device asks again.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sut.ports import MessageStore, Unavailable
from sut.process.partitioning import partition_of
from sut.process.peer import PeerLink
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
from sut.services.chat.shared import SharedPages
from sut.services.sequencer.live import Live
from sut.services.sequencer.state import Conversation
from sut.services.visibility import cut_back, cut_page, stretch_before

ASK_TIMEOUT_S: Final = 0.5
RESTART_S: Final = 10.0
"""For so long a sequencer that is away is believed to come back, and SYNC asks the store for none of its heads: it
needs the store itself, a gateway's devices all ask just then, and what it numbers again it tells everybody."""
MAX_STORE_PAGES: Final = 10
"""Pages of a user's conversations looked through for one SYNC: 10,000 conversations."""


class NotMember(Exception):
    """The user never was a member of the conversation."""


class Reader:
    """Reads for devices, within what their users may see."""

    def __init__(
        self, store: MessageStore, sequencers: Mapping[int, PeerLink], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._clock = clock
        self._sequencers = sequencers
        """By partition."""
        self._shared = SharedPages()
        self._away: dict[int, float] = {}
        """Since when: partitions whose sequencer does not answer, or is not up to date there yet."""
        self.hot = 0
        self.cold = 0

    @property
    def shared(self) -> int:
        """Pages given without a question to anybody."""
        return self._shared.given

    def asks(self, conv: int) -> str:
        """Who is asked first for a page of this conversation."""
        return self._link(conv).target

    def at_hand(self, conv: int, user: int, *, after: int, limit: int) -> bytes | None:
        """What `page` would say, if that is known here and now."""
        return self._shared.get((conv, after, _bounded(limit)), user, self._clock())

    async def page(self, conv: int, user: int, *, after: int, limit: int) -> bytes:
        """An encoded PAGE with req 0. Raises NotMember, Unavailable."""
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
        if not answer.hit:
            try:
                return await self._stored_page(conv, user, after, limit, told=answer.head)
            except NotMember:
                if answer.head == HEAD_STORED:
                    raise
                # Created or joined an instant ago: the store follows. Only a sequencer in the know may say never.
                raise Unavailable(f"conversation {conv} is not stored as far as user {user} may see it") from None
        if not answer.member:
            raise NotMember
        self.hot += 1
        return answer.page

    async def _ask(self, question: ReadHot | ReadBefore) -> HotPage:
        """The sequencer's answer; a miss when it is away."""
        try:
            answer = await self._link(question.conv).ask(question, ASK_TIMEOUT_S)
        except Unavailable:
            return HotPage(hit=False, member=False, head=HEAD_RECOVERING, page=b"")
        assert isinstance(answer, HotPage)
        return answer

    def _link(self, conv: int) -> PeerLink:
        return self._sequencers[partition_of(conv, len(self._sequencers))]

    async def _stored_page(self, conv: int, user: int, after: int, limit: int, *, told: int) -> bytes:
        """`told`: what the sequencer says of the head; what it has numbered need not be stored yet.

        While nobody can say how far the conversation really goes, what is stored is given, but not the word that there
        is no more. Raises NotMember, Unavailable.
        """
        self.cold += 1
        rows = await self._store.page(conv, after, limit)
        image = await self._store.load(conv)  # after the rows: its spans are at least as new as they are
        if image is None:
            raise NotMember
        spans = sorted((span for span in image.spans if span.user == user), key=lambda span: span.first)
        if not spans:
            raise NotMember
        if not rows and image.row.head > after:
            # They came between the two reads, or expired: then all that the state knows of is covered.
            rows = await self._store.page(conv, after, limit)
            covered = rows[-1].seq if rows else image.row.head
        else:
            covered = rows[-1].seq if len(rows) == limit else max(after, rows[-1].seq if rows else 0)
        page: Page = cut_page(conv, spans, rows, after=after, covered=covered, head=image.row.head)
        if told == HEAD_RECOVERING and page.through <= after:
            raise Unavailable(f"conversation {conv}: its sequencer is away, and nothing is stored beyond {after}")
        return encode_frame(page._replace(head=max(page.head, told)))

    async def page_before(self, conv: int, user: int, *, before: int, limit: int) -> bytes:
        """An encoded PAGE of what comes before `before`, with req 0. Raises NotMember, Unavailable."""
        limit = _bounded(limit)
        answer = await self._ask(ReadBefore(conv, user, before, limit))
        if not answer.hit:
            try:
                return await self._stored_before(conv, user, before, limit, told=answer.head)
            except NotMember:
                if answer.head == HEAD_STORED:
                    raise
                raise Unavailable(f"conversation {conv} is not stored as far as user {user} may see it") from None
        if not answer.member:
            raise NotMember
        self.hot += 1
        return answer.page

    async def _stored_before(self, conv: int, user: int, before: int, limit: int, *, told: int) -> bytes:
        """`told` as in _stored_page. The state is read before the rows: they are all there up to its head."""
        self.cold += 1
        image = await self._store.load(conv)
        if image is None:
            raise NotMember
        spans = sorted((span for span in image.spans if span.user == user), key=lambda span: span.first)
        if not spans:
            raise NotMember
        head = image.row.head
        if spans[-1].end == 0 and min(before - 1, told) > head:
            raise Unavailable(f"conversation {conv} is stored up to {head} only")
        stretch = stretch_before(spans, before, head)
        rows = await self._store.page_before(conv, stretch.end, limit) if stretch.first < stretch.end else []
        return encode_frame(cut_back(conv, spans, rows, stretch, exhausted=len(rows) < limit, head=head))

    async def members(self, conv: int, user: int) -> Members:
        """Who is in the conversation, for one who is. Raises NotMember, Unavailable."""
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
        """Which of the user's conversations, by rising id above `after_conv`, are ahead of these cursors.

        Those behind them too, where every sequencer knew: the device has seen what the log does not have any more.
        Raises Unavailable.
        """
        entries: list[Entry] = []
        stale = False
        for _ in range(MAX_STORE_PAGES):
            known = await self._store.conversations_of(user, after_conv, MAX_SYNC_CURSORS)
            heads, complete = await self._heads(user, known)
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
            entries.append(Entry(after_conv, 0, 0))  # no news of it: only from where to ask on
        return Synced(req, SYNCED_MORE | (SYNCED_STALE if stale else 0), tuple(entries))

    async def _heads(self, user: int, convs: Sequence[int]) -> tuple[dict[int, int], bool]:
        """The newest heads, in the order of `convs`, and whether every sequencer concerned knew.

        The store is asked afterwards, and only for what no sequencer has in memory: what was stored by then is in its
        answer. A conversation that neither knows is left out, and one whose sequencer is just being started again.
        """
        told = await self._told(user, convs)
        unknown = [conv for conv in convs if told[conv] < 0 and not self._restarts(conv)]
        heads = {conv: head for conv, head in told.items() if head >= 0}
        if unknown:
            heads |= await self._store.heads(user, unknown)
        ordered = {conv: heads[conv] for conv in convs if conv in heads}
        return ordered, HEAD_RECOVERING not in told.values()

    async def _told(self, user: int, convs: Sequence[int]) -> dict[int, int]:
        """What the sequencers say of each: a head, HEAD_STORED, or HEAD_RECOVERING, also for one that is away."""
        by_link: defaultdict[PeerLink, list[int]] = defaultdict(list)
        for conv in convs:
            by_link[self._sequencers[partition_of(conv, len(self._sequencers))]].append(conv)
        answers = await asyncio.gather(
            *(link.ask(ReadHeads(user, tuple(asked)), ASK_TIMEOUT_S) for link, asked in by_link.items()),
            return_exceptions=True,
        )
        told = dict.fromkeys(convs, HEAD_RECOVERING)
        for asked, answer in zip(by_link.values(), answers, strict=True):
            if isinstance(answer, Heads):
                told |= dict(zip(asked, answer.heads, strict=True))
            elif isinstance(answer, BaseException) and not isinstance(answer, Unavailable):
                raise answer
        for conv, head in told.items():
            partition = partition_of(conv, len(self._sequencers))
            if head == HEAD_RECOVERING:
                self._away.setdefault(partition, self._clock())
            elif head == HEAD_STORED:  # only who is up to date says so; a head it may know before
                self._away.pop(partition, None)
        return told

    def _restarts(self, conv: int) -> bool:
        since = self._away.get(partition_of(conv, len(self._sequencers)))
        return since is not None and self._clock() - since < RESTART_S


def _bounded(limit: int) -> int:
    return max(1, min(limit, MAX_FETCH))
