"""Pages of a large group: asked for once, given to those alone for whom they are the same, and not for long."""

from __future__ import annotations

import asyncio

import pytest

from sut.ports import ConversationImage, ConversationRow, Span, StoredMessage, Unavailable
from sut.protocol.frames import decode_server
from sut.protocol.peer import ReadHot
from sut.services.chat import shared
from sut.services.chat.reader import NotMember, Reader
from sut.services.sequencer.live import Live
from sut.services.sequencer.rule import Conversation

CONV = 5
MEMBERS = range(1, 31)


def group(*more: Span) -> Live:
    """Thirty members from the start and whoever else, five messages."""
    row = ConversationRow(CONV, "g", 1, 5, 5)
    live = Live(Conversation.from_image(ConversationImage(row, (*(Span(u, 1) for u in MEMBERS), *more), ())))
    live.hot.extend(StoredMessage(n, 0, 1, 10, n, b"%d" % n) for n in range(1, 6))
    return live


class Sequencer:
    """Has the group in memory, counts what it is asked, and takes its time."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.asked = 0
        self.away = False

    async def ask(self, frame, timeout_s):
        assert isinstance(frame, ReadHot)
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.away:
            raise Unavailable("away")
        return self.live.page(frame.user, frame.after, frame.limit)


class Empty:
    """A store that has nothing yet."""

    async def page(self, conv, after, limit):
        return []

    async def load(self, conv):
        return None


def fetch_all(sequencer: Sequencer, users, after=2):
    async def scenario():
        reader = Reader(Empty(), {0: sequencer})
        pages = await asyncio.gather(
            *(reader.page(CONV, user, after=after, limit=10) for user in users), return_exceptions=True
        )
        return reader, pages

    reader, pages = asyncio.run(scenario())
    return reader, [
        page if isinstance(page, Exception) else [m.seq for m in decode_server(page).messages] for page in pages
    ]


def test_all_members_at_once_are_one_question():
    sequencer = Sequencer(group())
    reader, pages = fetch_all(sequencer, MEMBERS)
    assert pages == [[3, 4, 5]] * 30
    assert (sequencer.asked, reader.shared) == (1, 29)


def test_who_sees_something_else_asks_for_oneself():
    late, gone, back = Span(40, 5), Span(41, 1, 4), (Span(42, 1, 2), Span(42, 4))
    sequencer = Sequencer(group(late, gone, *back))
    _, pages = fetch_all(sequencer, [1, 40, 41, 42, 2])
    assert pages == [[3, 4, 5], [5], [3], [4, 5], [3, 4, 5]]
    _, pages = fetch_all(Sequencer(group(late, gone, *back)), [40, 1, 2, 41])
    assert pages == [[5], [3, 4, 5], [3, 4, 5], [3]]


def test_a_stranger_gets_nothing_from_the_page_of_others():
    _, pages = fetch_all(Sequencer(group()), [1, 99, 2])
    assert isinstance(pages[1], NotMember)
    assert pages[2] == [3, 4, 5]


def test_that_there_is_nothing_is_not_kept():
    """The next number may come at any moment, and whoever was told of it must not hear that there is none."""
    sequencer = Sequencer(group())

    async def scenario():
        reader = Reader(Empty(), {0: sequencer})
        assert decode_server(await reader.page(CONV, 1, after=5, limit=10)).messages == ()
        assert reader.at_hand(CONV, 2, after=5, limit=10) is None
        await reader.page(CONV, 1, after=4, limit=10)
        assert reader.at_hand(CONV, 2, after=4, limit=10) is not None
        assert reader.at_hand(CONV, 99, after=4, limit=10) is None

    asyncio.run(scenario())


def test_when_the_sequencer_is_away_nobody_waits_for_the_question_of_another_for_ever():
    sequencer = Sequencer(group())
    sequencer.away = True
    _, pages = fetch_all(sequencer, MEMBERS)
    assert all(isinstance(page, Unavailable) for page in pages)


def test_a_page_is_kept_for_a_moment_and_only_so_many():
    pages = shared.SharedPages()
    pages.put((1, 0, 10), b"p", (7,), 100.0)
    assert pages.get((1, 0, 10), 7, 100.0 + shared.KEEP_S) == b"p"
    assert pages.get((1, 0, 10), 7, 100.01 + shared.KEEP_S) is None
    assert pages.get((1, 0, 10), 8, 100.0) is None
    for conv in range(shared.MAX_KEPT + 5):
        pages.put((conv, 0, 10), b"p", (7,), 101.0)
    assert len(pages._kept) == shared.MAX_KEPT


@pytest.mark.parametrize("after", range(6))
def test_a_page_is_the_same_for_all_its_readers(after):
    live = group(Span(40, 3), Span(41, 1, 4), Span(42, 1, 2), Span(42, 4))
    seers = {*MEMBERS, *({40} if after >= 2 else ()), *({42} if after >= 3 else ())}  # of every number above `after`
    for user in live.state.spans:
        answer = live.page(user, after, 10)
        assert all(live.page(reader, after, 10).page == answer.page for reader in answer.readers)
        assert set(answer.readers) == (seers if user in seers and after < 5 else set())
