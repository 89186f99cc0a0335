"""Whose read is next: nobody's flood keeps the others waiting, and those who catch up are not forgotten."""

from __future__ import annotations

from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from sut.services.chat import fair as module
from sut.services.chat.fair import (
    AHEAD,
    BEHIND_S,
    LIVE_IN_A_ROW,
    MAX_WAITING_OF_ONE,
    PATIENCE_S,
    WIDTH_OF_ONE,
    Behind,
    FairReads,
)


def flow(number: int) -> module.Flow:
    return ("gateway-1", 1, number)


class Reads:
    """A FairReads of width 1 whose only slot is taken, and what it starts after that."""

    def __init__(self, width: int = 1) -> None:
        self.fair = FairReads(width=width)
        self.started: list[object] = []
        self.running: list[int] = []
        for number in range(width):
            self.fair.offer(flow(-number), "first", partial(self.running.append, -number), behind=False)

    def ask(self, number: int, key: object, *, behind: bool = False) -> bool:
        def start() -> None:
            self.started.append((number, key))
            self.running.append(number)

        return self.fair.offer(flow(number), key, start, behind=behind)

    def serve(self, count: int) -> list[object]:
        for _ in range(count):
            self.fair.done(flow(self.running.pop(0)))
        return self.started


def test_connections_take_turns_however_much_one_asks():
    reads = Reads()
    for key in range(8):
        reads.ask(1, key)
    reads.ask(2, "a")
    reads.ask(3, "b")
    assert reads.serve(4) == [(1, 0), (2, "a"), (3, "b"), (1, 1)]


def test_who_follows_live_does_not_wait_for_a_thousand_who_catch_up():
    reads = Reads()
    for number in range(1000, 2000):
        for key in range(8):
            assert reads.ask(number, key, behind=True)
    for number in range(1, 11):
        reads.ask(number, "now")
    started = reads.serve(14)
    assert [who for who, _ in started if who < 1000] == list(range(1, 11))


def test_who_catches_up_gets_one_read_in_four_while_others_never_stop():
    reads = Reads()
    for number in range(100):
        reads.ask(number, "now")
        reads.ask(1000 + number, "old", behind=True)
    started = reads.serve(40)
    assert sum(key == "old" for _, key in started) == 40 // (LIVE_IN_A_ROW + 1)


def test_a_repeated_question_takes_the_place_of_the_one_that_waits():
    fair, started = FairReads(width=1), []
    fair.offer(flow(0), "x", lambda: None, behind=False)
    fair.offer(flow(1), "conv 5", lambda: started.append("req 1"), behind=False)
    fair.offer(flow(1), "conv 5", lambda: started.append("req 2"), behind=False)
    assert fair.waiting == 1
    fair.done(flow(0))
    fair.done(flow(1))
    assert started == ["req 2"]


def test_a_read_that_nobody_waits_for_any_more_is_refused_and_not_started():
    now_s, told = 0.0, []
    fair = FairReads(width=1, clock=lambda: now_s)
    for number, what in enumerate(("first", "old", "late", "asked again")):
        fair.offer(
            flow(number), what, lambda what=what: told.append(("started", what)), behind=False,
            refuse=lambda what=what: told.append(("refused", what)),
        )  # fmt: skip
    now_s = PATIENCE_S + 0.1
    fair.offer(flow(3), "asked again", lambda: told.append(("started", "again")), behind=False)
    fair.done(flow(0))
    assert told == [("started", "first"), ("refused", "old"), ("refused", "late"), ("started", "again")]
    assert (fair.waiting, fair.under_way, fair.dropped) == (0, 1, 2)


def test_bounds():
    reads = Reads()
    assert all(reads.ask(1, key) for key in range(MAX_WAITING_OF_ONE))
    assert not reads.ask(1, "one more")
    assert reads.ask(1, 0), "a repetition is not one more"
    flooded = Reads()
    taken = sum(flooded.ask(number, "x") for number in range(module.MAX_WAITING + 10))
    assert taken == module.MAX_WAITING == flooded.fair.waiting


def test_one_connection_has_few_in_progress_and_the_others_do_not_wait_behind_it():
    reads = Reads(width=100)
    for number in range(100):
        reads.fair.done(flow(-number))
    reads.running.clear()
    for key in range(10):
        assert reads.ask(1, key)
    assert reads.started == [(1, key) for key in range(WIDTH_OF_ONE)]
    assert reads.ask(2, "a")
    assert reads.started[-1] == (2, "a"), "there is room, whatever the other one asks"
    reads.running.remove(2)
    assert reads.serve(10) == [
        *((1, key) for key in range(WIDTH_OF_ONE)),
        (2, "a"),
        *((1, key) for key in range(4, 10)),
    ]
    reads.fair.done(flow(2))
    assert (reads.fair.waiting, reads.fair.under_way) == (0, 0)


def test_up_to_the_width_nobody_waits():
    fair, started = FairReads(width=3), []
    for number in range(5):
        fair.offer(flow(number), "x", lambda number=number: started.append(number), behind=number == 0)
    assert (started, fair.under_way, fair.waiting) == ([0, 1, 2], 3, 2)
    fair.done(flow(1))
    assert (started, fair.under_way, fair.waiting) == ([0, 1, 2, 3], 3, 1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans(), st.booleans()), max_size=60))
def test_everything_that_was_taken_is_started_once_and_never_more_than_the_width(steps):
    fair, running, started, taken = FairReads(width=6), [], [], set()

    def start(what: tuple[int, int, bool, int]) -> None:
        running.append(what[0])
        assert len(running) <= 6
        assert running.count(what[0]) <= WIDTH_OF_ONE
        started.append(what)

    for index, (number, key, behind, ends) in enumerate(steps):
        what = (number, key, behind, index)
        taken.add((number, key, behind))
        assert fair.offer(flow(number), key, lambda what=what: start(what), behind=behind)
        if ends and running:
            fair.done(flow(running.pop(0)))
    while running:
        fair.done(flow(running.pop(0)))
    assert fair.waiting == fair.under_way == 0
    assert {what[:3] for what in started} == taken
    assert len(set(started)) == len(started)


def test_a_connection_is_behind_from_a_sync_with_much_news_until_it_has_been_quiet():
    now = [100.0]
    behind = Behind(lambda: now[0])
    behind.note(flow(1), AHEAD)
    assert not behind.asks(flow(1))
    behind.note(flow(1), AHEAD + 1)
    for _ in range(5):
        now[0] += BEHIND_S * 0.9
        assert behind.asks(flow(1))
    assert not behind.asks(flow(2))
    now[0] += BEHIND_S * 1.1
    assert not behind.asks(flow(1))
    now[0] += 0.1
    assert not behind.asks(flow(1))
