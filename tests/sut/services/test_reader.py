"""FETCH when memory and store know different things: nobody is called a stranger for having joined just now."""

from __future__ import annotations

import asyncio

import pytest

from sut.ports import ConversationImage, ConversationRow, Span, StoredMessage, Unavailable
from sut.protocol.frames import SYNCED_MORE, SYNCED_STALE, decode_server
from sut.protocol.peer import HEAD_RECOVERING, HEAD_STORED, Heads, HotPage
from sut.services.chat.reader import RESTART_S, NotMember, Reader

CONV, MEMBER, JOINED = 5, 1, 2


class Store:
    """Holds 100 rows of a conversation that only MEMBER is in, as far as it knows."""

    async def page(self, conv, after, limit):
        return [StoredMessage(n, 0, MEMBER, 10, n, b"x") for n in range(after + 1, 101)][:limit]

    async def load(self, conv):
        if conv != CONV:
            return None
        return ConversationImage(ConversationRow(CONV, "g", MEMBER, 100, 100), (Span(MEMBER, 1),), ())


class Sequencer:
    """Answers one thing."""

    life = 1

    def __init__(self, answer):
        self.answer = answer

    async def ask(self, frame, timeout_s):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def miss(*, member: bool, head: int) -> HotPage:
    return HotPage(hit=False, member=member, head=head, page=b"")


def fetch(answer, user, conv=CONV):
    reader = Reader(Store(), {0: Sequencer(answer)})
    return decode_server(asyncio.run(reader.page(conv, user, after=0, limit=10)))


@pytest.mark.parametrize(
    "answer",
    [
        miss(member=True, head=100),
        miss(member=False, head=HEAD_STORED),
        miss(member=False, head=HEAD_RECOVERING),
        Unavailable("away"),
    ],
)
def test_a_member_reads_the_store_whatever_the_sequencer_knows(answer):
    page = fetch(answer, MEMBER)
    assert ([m.seq for m in page.messages], page.through, page.head) == (list(range(1, 11)), 10, 100)


@pytest.mark.parametrize(
    "answer", [miss(member=True, head=100), miss(member=False, head=HEAD_RECOVERING), Unavailable("away")]
)
def test_one_who_joined_and_is_not_stored_yet_is_asked_to_try_again(answer):
    """Found by the harness: a member added to a long group was closed as a stranger while the store lagged 20 ms."""
    with pytest.raises(Unavailable):
        fetch(answer, JOINED)


def test_a_page_from_the_store_tells_the_head_that_the_sequencer_knows():
    """Found by the harness: after a restart of the sequencers, pages from the store said that there was no more while
    the newest rows were numbered and not stored yet (cluster, no faults, seed 5: 145 messages missing in read-backs).
    """
    reader = Reader(Store(), {0: Sequencer(miss(member=True, head=130))})
    page = decode_server(asyncio.run(reader.page(CONV, MEMBER, after=90, limit=50)))
    assert (page.messages[-1].seq, page.through, page.head) == (100, 100, 130)


def test_while_nobody_knows_the_head_nobody_says_that_there_is_no_more():
    reader = Reader(Store(), {0: Sequencer(Unavailable("away"))})
    with pytest.raises(Unavailable):
        asyncio.run(reader.page(CONV, MEMBER, after=100, limit=50))


@pytest.mark.parametrize("conv", [CONV, 99])
def test_a_stranger_is_one_when_all_is_stored(conv):
    with pytest.raises(NotMember):
        fetch(miss(member=False, head=HEAD_STORED), JOINED, conv)


def test_a_stranger_is_one_when_the_sequencer_says_so():
    with pytest.raises(NotMember):
        fetch(HotPage(hit=True, member=False, head=0, page=b""), JOINED)


class ManyStore:
    """A user in 1,500 conversations, each with one message; says which heads it was asked for."""

    def __init__(self, missing=()):
        self.asked = []
        self.missing = missing

    async def conversations_of(self, user, after, limit):
        return list(range(after + 1, 1501))[:limit]

    async def heads(self, user, convs):
        self.asked += convs
        return {conv: 1 for conv in convs if conv not in self.missing}


class Away:
    """A sequencer that cannot be asked."""

    life = 0

    async def ask(self, frame, timeout_s):
        raise Unavailable("away")


class Knows:
    """A sequencer that has some heads in memory."""

    life = 1

    def __init__(self, heads, otherwise=HEAD_STORED):
        self.heads = heads
        self.otherwise = otherwise

    async def ask(self, frame, timeout_s):
        return Heads(tuple(self.heads.get(conv, self.otherwise) for conv in frame.convs))


def sync_all(store, sequencer, *, away_s=0.0):
    """Every entry with news, and whether an answer was marked as stale; `away_s`: seconds since the first question."""
    now = [1000.0]
    reader = Reader(store, {0: sequencer}, clock=lambda: now[0])
    if away_s:
        asyncio.run(reader.sync(1, req=0, after_conv=0, cursors={}))
        now[0] += away_s
    told, stale, after = {}, False, 0
    for req in range(10):
        synced = asyncio.run(reader.sync(1, req=req, after_conv=after, cursors={}))
        told |= {entry.conv: entry.seq for entry in synced.entries if entry.seq}
        stale = stale or bool(synced.flags & SYNCED_STALE)
        if not synced.flags & SYNCED_MORE:
            return told, stale
        after = synced.entries[-1].conv
    raise AssertionError("a SYNC without end")


def test_a_sync_of_very_many_conversations_leaves_none_out():
    told, stale = sync_all(ManyStore(), Away(), away_s=RESTART_S)
    assert told == dict.fromkeys(range(1, 1501), 1)
    assert stale


class DiesMeanwhile(ManyStore):
    """While it is read, the sequencer dies and another one takes over."""

    def __init__(self, sequencer):
        super().__init__()
        self.sequencer = sequencer

    async def conversations_of(self, user, after, limit):
        found = await super().conversations_of(user, after, limit)
        self.sequencer.life += 1
        return found


def test_a_sync_during_which_another_sequencer_took_over_is_stale():
    """The dead one may have stored a change of members after the store was read; the other one does not know of it."""
    knows = Knows({}, otherwise=7)
    assert not sync_all(ManyStore(), knows)[1]
    assert sync_all(DiesMeanwhile(knows), knows)[1]


def test_the_store_is_asked_only_for_what_no_sequencer_has_in_memory():
    store = ManyStore()
    told, stale = sync_all(store, Knows({conv: 7 for conv in range(1, 1501) if conv not in (3, 1200)}))
    assert told == {conv: 1 if conv in (3, 1200) else 7 for conv in range(1, 1501)}
    assert set(store.asked) == {3, 1200}
    assert not stale


def test_while_a_sequencer_recovers_the_stored_head_is_told_as_stale():
    store = ManyStore()
    told, stale = sync_all(store, Knows({1: 9}, otherwise=HEAD_RECOVERING), away_s=RESTART_S)
    assert (told[1], told[2]) == (9, 1)
    assert stale


@pytest.mark.parametrize("sequencer", [Away(), Knows({1: 9}, otherwise=HEAD_RECOVERING)])
def test_a_sequencer_that_is_just_being_started_has_the_store_for_itself(sequencer):
    """Found by the harness: while it loaded its conversations, a thousand devices asked the store for heads, and it
    took twice as long (cluster, 300 messages/s, seed 304).
    """
    store = ManyStore()
    told, stale = sync_all(store, sequencer, away_s=RESTART_S - 1)
    assert told == ({1: 9} if isinstance(sequencer, Knows) else {})
    assert stale
    assert not store.asked


def test_a_sequencer_that_came_back_is_believed_to_come_back_the_next_time_too():
    async def told(answers):
        now = [1000.0]
        store, sequencer = ManyStore(), Knows({}, otherwise=HEAD_RECOVERING)
        reader = Reader(store, {0: sequencer}, clock=lambda: now[0])
        for otherwise in answers:
            sequencer.otherwise = otherwise
            store.asked.clear()
            await reader.sync(1, req=1, after_conv=0, cursors={})
            now[0] += RESTART_S
        return bool(store.asked)

    assert asyncio.run(told([HEAD_RECOVERING, HEAD_RECOVERING]))
    assert not asyncio.run(told([HEAD_RECOVERING, HEAD_STORED, HEAD_RECOVERING]))


def test_what_a_partition_already_knows_again_does_not_make_it_just_started_for_ever():
    """Else a partition that cannot get up to date would keep what is stored from everybody."""

    async def told():
        now, store = [1000.0], ManyStore()
        reader = Reader(store, {0: Knows({1: 9}, otherwise=HEAD_RECOVERING)}, clock=lambda: now[0])
        for _ in range(4):
            await reader.sync(1, req=1, after_conv=0, cursors={})
            now[0] += RESTART_S / 3
        return bool(store.asked)

    assert asyncio.run(told())


def test_a_conversation_of_the_index_that_nobody_knows_is_left_out():
    told, _ = sync_all(ManyStore(missing={4}), Knows({}))
    assert 4 not in told
    assert len(told) == 1499


class KnowsFresh:
    """A sequencer to which the user came into conversations just now."""

    life = 1

    def __init__(self, fresh, *, complete=True):
        self.fresh = fresh
        self.complete = complete

    async def ask(self, frame, timeout_s):
        heads = dict(self.fresh)
        return Heads(tuple(heads.get(conv, HEAD_STORED) for conv in frame.convs), tuple(self.fresh), self.complete)


class FewStore:
    """A store that knows of no conversation of anybody."""

    async def conversations_of(self, user, after, limit):
        return []

    async def heads(self, user, convs):
        return {}


def test_what_a_user_came_into_just_now_is_in_the_sync_before_the_store_has_it():
    """Of 36 devices added to a group while they connected, 11 heard nothing of it for up to ten heartbeats."""
    reader = Reader(FewStore(), {0: KnowsFresh([(9, 3), (4, 1)]), 1: KnowsFresh([(7, 2)])})
    synced = asyncio.run(reader.sync(1, req=1, after_conv=0, cursors={4: 1}))
    assert [(entry.conv, entry.seq) for entry in synced.entries] == [(7, 2), (9, 3)]
    assert synced.flags == 0
    synced = asyncio.run(reader.sync(1, req=1, after_conv=7, cursors={}))
    assert [entry.conv for entry in synced.entries] == [9]


@pytest.mark.parametrize("other", [Away(), KnowsFresh([], complete=False)], ids=["away", "recovers"])
def test_a_sync_says_stale_when_a_sequencer_could_not_say_what_is_new(other):
    """Also where the user is in no conversation of that one, as far as the store knows."""
    reader = Reader(FewStore(), {0: KnowsFresh([(9, 3)]), 1: other})
    synced = asyncio.run(reader.sync(1, req=1, after_conv=0, cursors={}))
    assert [entry.conv for entry in synced.entries] == [9]
    assert synced.flags == SYNCED_STALE


def test_what_is_new_comes_in_its_place_among_very_many():
    """A page of the index ends; what is new beyond it comes with the page that it belongs to."""

    class Odd(ManyStore):
        async def conversations_of(self, user, after, limit):
            return [conv for conv in range(1, 4000, 2) if conv > after][:limit]

    reader = Reader(Odd(), {0: KnowsFresh([(2, 5), (3998, 5)])})
    found, after = [], 0
    for _ in range(10):
        synced = asyncio.run(reader.sync(1, req=1, after_conv=after, cursors={}))
        found += [entry.conv for entry in synced.entries]
        if not synced.flags & SYNCED_MORE:
            break
        after = synced.entries[-1].conv
    assert found == sorted([*range(1, 4000, 2), 2, 3998])
