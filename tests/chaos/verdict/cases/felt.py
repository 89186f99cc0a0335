"""What people felt while a fault was in force, and the bounds on that."""

from tests.chaos.verdict.book import Book
from tests.chaos.verdict.cases.fitness import FULL, UNTIL, measured
from tests.chaos.verdict.cases.registry import bad, good, unknown

BOUND_S = 1.5


def broken(start: float, end: float | None, *, felt_s: float | None = BOUND_S, fault: str = "f1", book: Book) -> Book:
    """A planned fault; without an end it is never healed."""
    bound = {} if felt_s is None else {"felt_s": felt_s}
    if not any(line["e"] == "phase" for line in book.lines):
        book.add("phase", 1, name="steady")
    book.add("plan", 0, fault=fault, name="crash", target="gateway-1", at_s=start - 1, for_s=2, **bound)
    book.fault(start, end, fault=fault)
    return book


def chat(*, stuck: tuple[float, float] = (0, 0), quiet: tuple[float, float] = (0, 0), book: Book | None = None) -> Book:
    """Messages four times a second for 30 s. What is due in `stuck` is shown at its end; in `quiet` is none."""
    book = book or Book()
    for quarter in range(4, 120):
        t = quarter / 4
        if not quiet[0] <= t < quiet[1]:
            lag = stuck[1] - t + (t - stuck[0]) / 1000 if stuck[0] <= t < stuck[1] else 0.05
            book.say(t, "ann", f"m{quarter}", lag=lag)
    return book


@good
def felt_as_long_as_agreed() -> Book:
    return broken(5, 7, book=chat(stuck=(5, 6.4))).read_back(60)


@good
def felt_for_long_where_nothing_was_agreed() -> Book:
    return broken(5, 7, book=chat(stuck=(5, 14)), felt_s=None).read_back(60)


@good
def felt_while_another_fault_allowed_more() -> Book:
    book = broken(5, 9, book=chat(stuck=(6, 8)))
    return broken(6, 8, book=book, felt_s=5, fault="f2").read_back(60)


@good
def felt_while_a_fault_without_a_bound_was_on() -> Book:
    book = broken(5, 9, book=chat(stuck=(6, 8)))
    return broken(6, 8, book=book, felt_s=None, fault="f2").read_back(60)


@bad()
def felt__for_one_second_in_the_middle() -> Book:
    return broken(5, 9, book=chat(stuck=(7, 9))).read_back(60)


@bad()
def felt__after_the_heal() -> Book:
    return broken(5, 7, book=chat(stuck=(7.25, 9.5))).read_back(60)


@unknown("liveness", "vacuity")
def felt__never_healed() -> Book:
    book = broken(5, None, book=chat())
    book.own(until=UNTIL, min_acked=4, min_deliveries=8)
    return book.read_back(81)


@unknown("vacuity")
def felt__nothing_was_due() -> Book:
    return broken(5, 7, book=chat(quiet=(4, 30))).read_back(60)


@unknown("felt")
def machine__busy_while_a_fault_was_felt_for_long() -> Book:
    book = Book()
    book.own(until=UNTIL, min_acked=4, min_deliveries=8)
    return measured(broken(5, 9, book=chat(stuck=(6, 8.5), book=book)), busy=FULL).read_back(81)


@unknown()
def felt__others_filled_the_cores_just_then() -> Book:
    book = Book()
    book.own(until=UNTIL, min_acked=4, min_deliveries=8)
    broken(5, 9, book=chat(stuck=(6, 8.5), book=book))
    return measured(book, full=(7, 8)).read_back(81)


@bad()
def felt__for_longer_than_others_filled_the_cores() -> Book:
    book = Book()
    book.own(until=UNTIL, min_acked=4, min_deliveries=8)
    broken(5, 13, book=chat(stuck=(6, 12.5), book=book))
    return measured(book, full=(7, 8)).read_back(81)


@unknown()
def felt__the_swarm_stood_still_just_then() -> Book:
    book = Book()
    book.own(until=UNTIL, min_acked=4, min_deliveries=8)
    broken(5, 9, book=chat(stuck=(6, 8.5), book=book))
    return measured(book, stalls={7: [1.5]}).read_back(81)
