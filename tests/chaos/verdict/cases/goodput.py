"""A system that is back after a fault, one that is stuck, and histories that do not tell."""

from collections.abc import Callable

from tests.chaos.verdict.book import Book
from tests.chaos.verdict.cases.fitness import FULL, measured
from tests.chaos.verdict.cases.registry import bad, good, unknown

BACK_S = 8
BOUNDS = {"back_s": BACK_S, "latency_ms": 20_000, "min_acked": 4, "min_deliveries": 8}
STRUCK, HEALED, ENDED = 12, 14, 29


def judged(**bounds: object) -> Book:
    """A book whose faults are judged by their goodput."""
    book = Book(people=("ann", "bob"))
    book.add("meta", 0, bounds={**BOUNDS, **bounds})
    book.add("phase", 1, name="steady")
    return book


def always(_t: float) -> float:
    return 0.05


def slow_from(start: float, until: float = ENDED, lag: float = 3.0) -> Callable[[float], float]:
    """The wait of what is due from `start` on: `lag` to the end, or until all comes at once, in order, at `until`."""
    if until >= ENDED:
        return lambda t: lag if t >= start else 0.05
    return lambda t: max(0.05, until - t + (t - start) / 1000) if start <= t < until else 0.05


def chat(
    book: Book,
    *,
    shown_after: Callable[[float], float] = always,
    acked_after: Callable[[float], float] = always,
    per_s: Callable[[float], int] = lambda _t: 6,
    until: float = ENDED,
) -> Book:
    """Messages from second 1 on; the functions tell of a time how late what is due then is acked and shown."""
    for second in range(1, round(until)):
        for part in range(per_s(second)):
            t = second + part / per_s(second)
            number = book.say(t, "ann", f"m{t:g}", acked=False, lag=shown_after(t))
            book.add("ack", t + acked_after(t), device="ann-1", conv="room", msg=f"m{t:g}", seq=number)
            book.copy("show", t + 0.05, "ann", f"m{t:g}", number)
    return book


def struck(
    book: Book, *, start: float = STRUCK, end: float | None = HEALED, fault: str = "f1", last: bool = True
) -> Book:
    """A planned fault; without an end it is never healed. After the `last` one all is read back."""
    book.add("plan", 0, fault=fault, name="crash", target="gateway-1", at_s=start - 1, for_s=2)
    book.fault(start, end, fault=fault)
    return book.read_back(90) if last else book


@good
def back_some_seconds_after_the_heal() -> Book:
    return struck(chat(judged(), shown_after=slow_from(STRUCK, HEALED + 5), acked_after=slow_from(STRUCK, HEALED)))


@good
def stuck_where_nothing_was_agreed() -> Book:
    return struck(chat(judged(back_s=None), shown_after=slow_from(STRUCK)))


@good
def a_little_worse_than_before() -> Book:
    return struck(chat(judged(), acked_after=lambda t: 3.0 if t in (17.0, 21.0, 25.0) else 0.05))


@bad()
def goodput__shown_late_for_ever() -> Book:
    return struck(chat(judged(), shown_after=slow_from(STRUCK)))


@bad()
def goodput__acked_late_for_ever() -> Book:
    return struck(chat(judged(), acked_after=slow_from(STRUCK)))


@bad()
def goodput__back_too_late() -> Book:
    return struck(chat(judged(), shown_after=slow_from(STRUCK, HEALED + BACK_S + 2)))


@bad()
def goodput__up_again_for_moments_only() -> Book:
    return struck(chat(judged(), shown_after=lambda t: 4.05 - t % 4 * 0.999 if t >= STRUCK else 0.05))


@bad()
def goodput__good_only_because_senders_are_held_back() -> Book:
    return struck(chat(judged(), per_s=lambda t: 6 if t < STRUCK else 2))


def loads(first_per_s: int, second_per_s: int, *, stuck_from: float) -> Book:
    """Two faults, the second at the second load."""
    book = chat(
        judged(), shown_after=slow_from(stuck_from, 50), until=50,
        per_s=lambda t: first_per_s if t < 23 else second_per_s,
    )  # fmt: skip
    return struck(struck(book, last=False), start=34, end=36, fault="f2")


@good
def back_at_either_load() -> Book:
    return loads(6, 12, stuck_from=50)


@bad()
def goodput__stuck_at_the_higher_load() -> Book:
    return loads(6, 12, stuck_from=34)


@unknown("liveness", "vacuity")
def goodput__the_fault_never_healed() -> Book:
    return struck(chat(judged()), end=None)


@unknown()
def goodput__the_load_was_not_carried_before() -> Book:
    return struck(chat(judged(), shown_after=slow_from(5)))


@unknown()
def goodput__the_sends_ended_too_soon() -> Book:
    return struck(chat(judged(), shown_after=slow_from(STRUCK), until=HEALED + BACK_S))


@unknown()
def goodput__too_few_sends_to_tell() -> Book:
    return struck(chat(judged(), per_s=lambda _t: 4))


@unknown()
def goodput__the_next_fault_struck_first() -> Book:
    book = struck(chat(judged(), shown_after=slow_from(STRUCK, 25), until=32), last=False)
    return struck(book, start=19, end=20, fault="f2")


@unknown("machine")
def goodput__not_back_on_a_busy_machine() -> Book:
    book = Book(people=("ann", "bob"))
    book.own(until=40, **BOUNDS)
    return measured(struck(chat(book, shown_after=slow_from(STRUCK, 40), until=40)), busy=FULL)
