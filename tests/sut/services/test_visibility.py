"""Pages show a user the numbers inside the user's spans, and nothing else."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sut.ports import Span, StoredMessage
from sut.protocol.frames import MAX_BODY
from sut.services.visibility import cut_back, cut_page, sees, stretch_before, visible_head


def rows(*numbers: int, size: int = 3) -> list[StoredMessage]:
    return [StoredMessage(n, 0, 1, 1, n, b"x" * size) for n in numbers]


def test_a_removed_member_sees_up_to_the_removal():
    spans = [Span(1, 1, 4)]
    assert visible_head(spans, 9) == 3
    page = cut_page(7, spans, rows(1, 2, 3, 4, 5), after=0, covered=5, head=9)
    assert ([m.seq for m in page.messages], page.through, page.head) == ([1, 2, 3], 3, 3)


def test_someone_removed_before_the_first_number_sees_nothing():
    page = cut_page(7, [Span(1, 1, 1)], rows(2, 3), after=0, covered=3, head=3)
    assert (page.messages, page.head, page.through) == ((), 0, 0)


def test_the_time_between_two_stays_is_skipped_but_covered():
    page = cut_page(7, [Span(1, 1, 3), Span(1, 6)], rows(1, 2, 3, 4, 5, 6, 7), after=0, covered=7, head=7)
    assert ([m.seq for m in page.messages], page.through) == ([1, 2, 6, 7], 7)


def test_a_page_of_large_bodies_ends_early_and_says_so():
    page = cut_page(7, [Span(1, 1)], rows(*range(1, 10), size=MAX_BODY), after=0, covered=9, head=9)
    assert [m.seq for m in page.messages] == [1, 2, 3, 4]
    assert (page.through, page.head) == (4, 9)


stays = (
    st.lists(st.integers(1, 30), unique=True, max_size=7)
    .map(sorted)
    .map(lambda cuts: [Span(1, a, b) for a, b in zip(cuts[::2], [*cuts[1::2], 0], strict=False)])
)


@given(stays, st.integers(0, 30), st.integers(0, 30), st.integers(1, 10))
def test_paging_on_gives_exactly_what_the_user_sees(spans, head, after, limit):
    wanted = [n for n in range(after + 1, head + 1) if sees(spans, n)]
    got: list[int] = []
    while True:
        part = rows(*range(after + 1, min(after + limit, head) + 1))
        covered = part[-1].seq if part else after
        page = cut_page(7, spans, part, after=after, covered=covered, head=head)
        got += [m.seq for m in page.messages]
        if page.through >= page.head:
            break
        assert page.through > after, "a page makes progress"
        after = page.through
    assert got == wanted


@settings(deadline=None)
@given(stays, st.integers(0, 30), st.integers(1, 40), st.integers(1, 10), st.integers(1, 8))
def test_paging_back_gives_exactly_what_the_user_sees(spans, head, before, limit, oldest):
    """Down to the oldest row that retention has left."""
    wanted = [n for n in range(oldest, min(before, head + 1)) if sees(spans, n)]
    got: list[int] = []
    while True:
        stretch = stretch_before(spans, before, head)
        there = rows(*range(oldest, min(stretch.end, head + 1)))
        part = there[-limit:]
        page = cut_back(7, spans, part, stretch, exhausted=len(part) < limit, head=head)
        numbers = [m.seq for m in page.messages]
        assert numbers == sorted(numbers)
        assert all(page.through <= n < before for n in numbers)
        assert len(numbers) <= limit
        got = numbers + got
        if page.through <= 1:
            break
        assert page.through < before, "a page makes progress"
        before = page.through
    assert got == wanted


def test_a_page_back_of_large_bodies_ends_early_and_says_so():
    spans = [Span(1, 1)]
    page = cut_back(7, spans, rows(*range(1, 10), size=MAX_BODY), stretch_before(spans, 10, 9), exhausted=True, head=9)
    assert [m.seq for m in page.messages] == [6, 7, 8, 9]
    assert page.through == 6
