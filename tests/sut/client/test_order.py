"""The list of conversations: by what came to this device last, whatever the senders' clocks say."""

from sut.client.model import Conversation, Line


def conversation(conv: int, *lines: Line) -> Conversation:
    one = Conversation(conv=conv, direct=True)
    for line in lines:
        one.put(line)
    return one


def test_a_sender_whose_clock_runs_ahead_does_not_stay_on_top() -> None:
    ahead = conversation(1, Line(row=1, conv=1, seq=1, at_ms=4_000_000_000_000))
    later = conversation(2, Line(row=2, conv=2, seq=1, at_ms=5))
    assert later.last_row() > ahead.last_row() > conversation(3).last_row() == 0


def test_older_lines_that_are_fetched_later_make_nothing_new() -> None:
    one = conversation(1, Line(row=1, conv=1, seq=9), Line(row=5, conv=1, seq=4))
    assert one.last_row() == 1


def test_a_line_that_waits_does_not_hide_what_came_after_it() -> None:
    one = conversation(1, Line(row=3, conv=1, seq=0), Line(row=7, conv=1, seq=4))
    assert one.last_row() == 7
