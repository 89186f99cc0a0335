"""Receipts at the sequencer: to the authors concerned, rising, joined, within what a user may see; cold ones too."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.adapters.sqlite.store import SqliteStore
from sut.ports import ConversationRow, ConversationWrite, Span, StoredMessage
from sut.protocol.frames import Flag, decode_server
from sut.protocol.signals import Receipt, ReceiptKind, Receipts
from sut.services.sequencer.emitter import MAX_QUEUED, Emitter
from sut.services.sequencer.live import Live
from sut.services.sequencer.notification import Notification
from sut.services.sequencer.receipts import MAX_COLD, MAX_COLD_OF_USER, MAX_PENDING, Cold, ReceiptDesk, Told
from sut.services.sequencer.rule import Conversation
from tests.kit.pace import scaled

CONV, ANN, BOB, CID, EVE = 5, 1, 2, 3, 9
DELIVERED, READ = int(ReceiptKind.DELIVERED), int(ReceiptKind.READ)


def row(seq: int, user: int, flags: int = 0) -> StoredMessage:
    return StoredMessage(seq, flags, user, user, seq, b"body")


def conversation(*authors: int, kind: str = "g", members: tuple[int, ...] = (ANN, BOB, CID)) -> Live:
    """One whose numbers 1, 2, 3... are of these authors."""
    state = Conversation(CONV, kind, ANN, head=len(authors))
    state.spans = {user: [Span(user, 1)] for user in members}
    live = Live(state)
    live.hot.extend(row(seq, author) for seq, author in enumerate(authors, 1))
    return live


class Desk:
    """A desk, and what it sent."""

    def __init__(self, *lives: Live, store: SqliteStore | None = None) -> None:
        by_conv = {live.state.conv: live for live in lives}
        self.takes = True
        self.sent: list[tuple[int, tuple[Receipt, ...]]] = []
        self.own: list[tuple[int, int, tuple[Receipt, ...]]] = []
        """What readers' devices were told of their own reading: (user, device left out, receipts)."""
        self.desk = ReceiptDesk(live=by_conv.get, store=store, offer=self._offer, window_s=0.01)

    def _offer(self, notification: Notification) -> bool:
        frame = decode_server(notification.frame)
        assert isinstance(frame, Receipts)
        assert notification.signal
        (author,) = notification.users
        if notification.except_device:
            self.own.append((author, notification.except_device, frame.entries))
        elif self.takes:
            self.sent.append((author, frame.entries))
        return self.takes

    def after(self, *words: tuple[int, int, int]) -> dict[int, list[tuple[int, int, int]]]:
        """author -> (seq, kind, by) after a window with these words (user, kind, seq), of device 10 x user."""
        self.sent.clear()
        self.own.clear()
        self.desk.take([(CONV, *word, 10 * word[0]) for word in words])
        self.desk.flush()
        assert len({author for author, _ in self.sent}) == len(self.sent), "one frame an author"
        return {author: sorted(entry[1:] for entry in entries) for author, entries in self.sent}


def test_the_authors_of_what_is_newly_covered_are_told() -> None:
    desk = Desk(conversation(ANN, BOB, ANN, CID))
    assert desk.after((CID, DELIVERED, 2)) == {ANN: [(2, 0, CID)], BOB: [(2, 0, CID)]}
    assert desk.after((CID, DELIVERED, 4)) == {ANN: [(4, 0, CID)]}, "of 3; 4 is one's own"
    assert desk.after((CID, READ, 4)) == {ANN: [(4, 1, CID)], BOB: [(4, 1, CID)]}


def test_what_comes_within_a_window_goes_together_and_only_the_highest() -> None:
    desk = Desk(conversation(ANN, ANN, ANN))
    words = [(BOB, DELIVERED, 1), (BOB, DELIVERED, 3), (BOB, DELIVERED, 2), (CID, DELIVERED, 2), (BOB, READ, 1)]
    assert desk.after(*words) == {ANN: [(1, 1, BOB), (2, 0, CID), (3, 0, BOB)]}
    assert desk.desk.sent == 4
    assert desk.own == [(BOB, 20, (Receipt(CONV, 1, READ, BOB),))]


def test_what_is_read_is_told_to_the_readers_other_devices() -> None:
    desk = Desk(conversation(ANN, BOB, ANN))
    desk.after((BOB, DELIVERED, 3))
    assert desk.own == [], "what was shown is each device's own affair"
    desk.after((BOB, READ, 1))
    assert desk.own == [(BOB, 20, (Receipt(CONV, 1, READ, BOB),))]
    desk.after((BOB, READ, 1))
    assert desk.own == []
    desk.after((BOB, READ, 1 << 40))
    assert desk.own == [(BOB, 20, (Receipt(CONV, 3, READ, BOB),))], "no more than there is"
    assert desk.after((EVE, READ, 3)) == {}
    assert desk.own == [], "who is no member has read nothing"


def test_of_two_devices_that_report_the_further_one_is_left_out() -> None:
    desk = Desk(conversation(ANN, ANN, ANN))
    desk.desk.take([(CONV, BOB, READ, 2, 21), (CONV, BOB, READ, 3, 22), (CONV, BOB, READ, 1, 23)])
    desk.desk.flush()
    assert desk.own == [(BOB, 22, (Receipt(CONV, 3, READ, BOB),))]


def test_repeated_and_late_words_are_no_news() -> None:
    desk = Desk(conversation(ANN, ANN, ANN))
    desk.after((BOB, DELIVERED, 3))
    assert desk.after((BOB, DELIVERED, 3), (BOB, DELIVERED, 1)) == {}


def test_strangers_tell_nothing_and_nobody_tells_more_than_there_is() -> None:
    live = conversation(ANN, ANN)
    live.state.spans[CID] = [Span(CID, 1, 2)]  # was removed by number 2
    desk = Desk(live)
    assert desk.after((EVE, READ, 2)) == {}
    assert desk.after((BOB, READ, 1 << 47)) == {ANN: [(2, 1, BOB)]}
    assert desk.after((CID, READ, 2)) == {ANN: [(1, 1, CID)]}


def test_a_membership_change_has_no_author() -> None:
    live = conversation(ANN, BOB)
    live.hot.append(row(3, CID, Flag.MEMBER_ADD))
    live.state.head = 3
    desk = Desk(live)
    desk.after((BOB, DELIVERED, 2))
    assert desk.after((BOB, DELIVERED, 3)) == {}


def test_in_a_pair_the_other_is_told_even_when_the_rows_are_gone() -> None:
    live = conversation(ANN, ANN, kind="d", members=(ANN, BOB))
    live.hot.clear()
    assert Desk(live).after((BOB, DELIVERED, 2)) == {ANN: [(2, 0, BOB)]}
    live = conversation(BOB, BOB, kind="d", members=(ANN, BOB))
    assert Desk(live).after((BOB, DELIVERED, 2)) == {}, "of one's own messages nobody is told"


def test_a_long_catch_up_is_one_word_and_only_on_the_newest() -> None:
    live = conversation(*[ANN] * 100, *[BOB] * 64)
    desk = Desk(live)
    assert desk.after((CID, DELIVERED, 164)) == {BOB: [(164, 0, CID)]}, "ANN's are not at hand any more"


def test_under_load_receipts_are_dropped_and_counted() -> None:
    desk = Desk(conversation(ANN))
    desk.takes = False
    desk.after((BOB, DELIVERED, 1))
    assert desk.desk.dropped == 1
    desk.desk.take([(77, user, DELIVERED, 1, 5) for user in range(MAX_PENDING + 5)])
    assert desk.desk.dropped == 1 + 5


@given(
    st.lists(st.tuples(st.sampled_from([BOB, CID]), st.integers(0, 1), st.integers(1, 6)), max_size=30), st.randoms()
)
def test_each_author_hears_rising_numbers_and_in_the_end_the_highest(words, rng) -> None:
    authors = [ANN, BOB, ANN, CID, ANN, ANN]
    desk = Desk(conversation(*authors))
    heard: dict[tuple[int, int, int], int] = {}
    rest = list(words)
    while rest:
        some = [rest.pop() for _ in range(min(len(rest), rng.randint(1, 5)))]
        for author, told in desk.after(*some).items():
            for seq, kind, by in told:
                assert seq > heard.get((author, kind, by), 0)
                heard[author, kind, by] = seq
    highest: defaultdict[tuple[int, int], int] = defaultdict(int)
    for user, kind, seq in words:
        highest[user, kind] = max(seq, highest[user, kind])
    for (user, kind), seq in highest.items():
        newest = max(n for n in range(1, seq + 1) if authors[n - 1] == ANN)
        assert heard[ANN, kind, user] >= newest


def test_what_is_remembered_is_bounded() -> None:
    told = Told(limit=4)
    for conv in range(10):
        for user in (ANN, BOB):
            told.raise_to((conv, user, DELIVERED), 7)
    assert [conv for conv in range(10) if told.of(conv)] == [8, 9]
    told.raise_to((9, ANN, DELIVERED), 3)
    assert told.highest((9, ANN, DELIVERED)) == 7


def test_of_what_is_not_in_memory_the_store_tells_and_what_was_told_is_kept_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SqliteStore(tmp_path, 1)
        rows = tuple(row(seq, ANN if seq < 90 else CID) for seq in range(1, 101))
        spans = tuple(Span(user, 1) for user in (ANN, BOB, CID))
        await store.write(0, [ConversationWrite(ConversationRow(CONV, "g", ANN, 100, 100), rows, spans, ())])
        await store.save_receipts([(CONV, BOB, DELIVERED, 80)])
        desk = Desk(store=store)
        tasks = [asyncio.create_task(task()) for task in (desk.desk.run, desk.desk.run_cold, desk.desk.save)]
        words = [(CONV, BOB, DELIVERED, 89), (CONV, BOB, READ, 100), (CONV, EVE, READ, 3), (77, BOB, READ, 3)]
        desk.desk.take([(*word, 20) for word in words])
        async with asyncio.timeout(scaled(5)):
            while len(desk.sent) < 2 or (await store.receipts(CONV)).get((BOB, READ)) != 100:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        heard = {author: {entry[1:] for entry in entries} for author, entries in desk.sent}
        assert heard == {ANN: {(89, 0, BOB), (100, 1, BOB)}, CID: {(100, 1, BOB)}}
        assert desk.own == [(BOB, 20, (Receipt(CONV, 100, READ, BOB),))]
        assert await store.receipts(CONV) == {(BOB, DELIVERED): 89, (BOB, READ): 100}
        for task in tasks:
            task.cancel()
        await store.close()

    asyncio.run(scenario())


def test_one_user_who_reports_on_what_is_not_there_keeps_nobody_waiting() -> None:
    cold = Cold()
    taken = [cold.put((conv, EVE, READ), (1, 0)) for conv in range(100, 100 + 2 * MAX_COLD)]
    assert taken.count(True) == MAX_COLD_OF_USER
    assert cold.put((CONV, ANN, READ), (4, 10))
    assert cold.put((CONV, ANN, READ), (3, 11)), "it is there already"
    assert cold.put((CONV, BOB, DELIVERED), (2, 20))
    assert cold.put((6, BOB, READ), (9, 20))
    assert cold.take() == {(100, EVE, READ): (1, 0)}
    assert cold.take() == {(CONV, ANN, READ): (4, 10), (CONV, BOB, DELIVERED): (2, 20)}
    assert cold.take() == {(6, BOB, READ): (9, 20)}
    while cold:
        cold.take()
    assert cold.put((101, EVE, READ), (1, 0))


def test_all_users_together_wait_in_a_bounded_queue() -> None:
    cold = Cold()
    users = MAX_COLD // MAX_COLD_OF_USER + 1
    taken = [cold.put((conv, user, READ), (1, 0)) for user in range(users) for conv in range(MAX_COLD_OF_USER)]
    assert taken.count(True) == len(cold) == MAX_COLD


def test_a_busy_emitter_takes_messages_and_no_signals() -> None:
    async def scenario() -> None:
        emitter = Emitter(None, {})
        signal = Notification(b"\x8b", (ANN,), 0, signal=True)
        taken = 0
        while emitter.offer(signal):
            taken += 1
        assert taken < MAX_QUEUED / 2
        assert emitter.signals_dropped == 1
        async with asyncio.timeout(1):
            await emitter.notify(Notification(b"\x84", (ANN,), 0))

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", [DELIVERED, READ])
def test_kinds_do_not_answer_for_each_other(kind: int) -> None:
    desk = Desk(conversation(ANN))
    assert desk.after((BOB, kind, 1)) == {ANN: [(1, kind, BOB)]}
    assert desk.after((BOB, 1 - kind, 1)) == {ANN: [(1, 1 - kind, BOB)]}


def test_a_removed_author_hears_of_no_number_above_the_removal() -> None:
    live = conversation(BOB, ANN, BOB, BOB)
    live.state.spans[ANN] = [Span(ANN, 1, 4)]  # removed by number 4, which stands here for the change
    desk = Desk(live)
    told = desk.after((CID, DELIVERED, 4))
    assert told == {ANN: [(3, 0, CID)], BOB: [(4, 0, CID)]}
