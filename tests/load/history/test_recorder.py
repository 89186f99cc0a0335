"""What a swarm's history says of traced messages beyond the events by which it is judged."""

from pathlib import Path

import pytest

from load.device import body as bodies
from load.history.events import SEALED, Event, Explanation, Record, message_id
from load.history.recorder import MAX_NOTIFIED_HERE, Recorder
from load.history.writer import HistoryTail, HistoryWriter, machine_id, now_ns
from sut.protocol.device.events import Notified, SentAgain, Show, Wire
from sut.protocol.frames import Message
from sut.protocol.tracing import is_traced

CONV, READER, SENDER, EVERY = 7, 2, 1, 4
TRACED = [seq for seq in range(1, 40) if is_traced(SENDER, seq, EVERY)]


class Nobody:
    """An observer who does not look."""

    def acked(self, latency_ns: int) -> None: ...

    def shown(self, latency_ns: int, *, group: bool, size: int) -> None: ...

    def failed(self, text: str) -> None: ...


class Book:
    """A recorder and what it wrote."""

    def __init__(self, path: Path, trace_every: int = EVERY) -> None:
        self._writer = HistoryWriter(path)
        self._tail = HistoryTail(path)
        self.recorder = Recorder(
            self._writer, groups=frozenset((CONV,)), recipients={}, observer=Nobody(), trace_every=trace_every
        )

    def notified(self, head: int) -> None:
        self.recorder.notified(READER, Notified(CONV, head))

    def arrived(self, *seqs: int) -> None:
        """Messages whose client_seq is their number."""
        for seq in seqs:
            message = Message(CONV, seq, 0, SENDER, SENDER, seq, b"body")
            self.recorder.wire(READER, Wire(message))
            self.recorder.shown(READER, Show(message))

    def read(self) -> list[Record]:
        return self._tail.read()

    def told(self) -> dict[int, int]:
        """Message's client_seq -> the number told by the NOTIFY behind which it came."""
        return {record[4] & 0xFFFFFFFF: record[5] for record in self.read() if record[7] == Explanation.NOTIFIED}


def test_what_waited_for_a_device_that_was_away_as_planned_is_no_latency_and_what_waited_for_a_lost_one_is(
    book: Book,
) -> None:
    recorder = book.recorder
    recorder.begin(now_ns())

    def shown(seq: int, *, due_ns: int) -> int:
        made = bodies.make(seed=1, msg=seq, due_offset_ns=due_ns - recorder._t0_ns, size=40)
        recorder.shown(READER, Show(Message(CONV, seq, 0, SENDER, SENDER, seq, made)))
        return recorder.show_latency.count

    early_ns = now_ns()
    recorder.online(READER)
    assert shown(0, due_ns=early_ns) == 0
    assert shown(1, due_ns=now_ns()) == 1
    recorder.offline(READER, planned=False)
    missed_ns = now_ns()
    recorder.online(READER)
    assert shown(2, due_ns=missed_ns) == 2
    recorder.offline(READER, planned=True)
    missed_ns = now_ns()
    assert shown(3, due_ns=missed_ns) == 2
    recorder.online(READER)
    assert shown(4, due_ns=missed_ns) == 2
    assert shown(5, due_ns=now_ns()) == 3
    assert recorder.counters.shown == 6


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "swarm-1.bin")


def test_when_a_traced_message_was_told_is_written_once_its_body_is_here(book: Book) -> None:
    first, second = TRACED[:2]
    before = now_ns()
    book.notified(first)
    between = now_ns()
    book.notified(first + 1)
    assert [record[7] for record in book.read()] == [Explanation.MACHINE]
    book.arrived(first, first + 1)
    notified, wire, *_ = (record for record in book.read() if record[4] == message_id(SENDER, first))
    assert (notified[7], notified[2], notified[3], notified[5]) == (Explanation.NOTIFIED, READER, CONV, first)
    assert before <= notified[0] <= between <= wire[0]
    assert wire[7] == Event.WIRE
    book.arrived(second)
    assert book.told() == {}, "nobody told of it"


def test_a_message_counts_as_told_by_the_first_notification_that_reaches_it(book: Book) -> None:
    first, second = TRACED[:2]
    book.notified(first - 1)
    book.notified(second + 1)
    book.notified(second)
    book.arrived(first)
    assert book.told() == {first: second + 1}
    book.arrived(second)
    assert book.told() == {second: second + 1}
    book.arrived(second + 1)
    assert not book.recorder._notified


def test_repeated_sends_of_traced_messages_are_written(book: Book) -> None:
    for client_seq in range(1, 20):
        book.recorder.sent_again(SENDER, SentAgain(CONV, client_seq))
    again = [record for record in book.read() if record[7] == Explanation.SENT_AGAIN]
    assert [record[4] for record in again] == [message_id(SENDER, seq) for seq in TRACED if seq < 20]
    assert all(record[2:4] == (SENDER, CONV) for record in again)


def test_the_machine_is_told_first(book: Book) -> None:
    record = book.read()[0]
    assert (record[7], record[4], record[5]) == (Explanation.MACHINE, machine_id(), EVERY)
    assert 0 < machine_id() < 1 << 60


def test_what_is_remembered_of_notifications_is_bounded(book: Book) -> None:
    for head in range(10, 1000):
        book.notified(head)
    assert len(book.recorder._notified[READER, CONV]) == MAX_NOTIFIED_HERE


def test_untraced_nothing_is_added(tmp_path: Path) -> None:
    book = Book(tmp_path / "swarm-1.bin", trace_every=0)
    book.notified(5)
    book.arrived(*range(1, 20))
    book.recorder.sent_again(SENDER, SentAgain(CONV, TRACED[0]))
    assert {record[7] for record in book.read()} == {Event.WIRE, Event.SHOW}
    assert not book.recorder._notified


def test_a_display_of_what_cannot_be_read_yet_is_marked(tmp_path: Path) -> None:
    book = Book(tmp_path / "a.bin", trace_every=0)
    for client_seq, (incomplete, sealed) in enumerate([(False, False), (True, False), (False, True), (True, True)], 1):
        message = Message(CONV, client_seq, 0, SENDER, SENDER, client_seq, b"body")
        book.recorder.shown(READER, Show(message, incomplete=incomplete), sealed=sealed)
    assert [record[8] for record in book.read() if record[7] == Event.SHOW] == [0, 1, SEALED, SEALED]
