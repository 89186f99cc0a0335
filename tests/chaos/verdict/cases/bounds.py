"""Exactly at a bound, and one nanosecond over it; and what bounds do not say."""

from tests.chaos.verdict.book import Book, ns
from tests.chaos.verdict.cases.registry import bad, good, talk, unknown


def shown_after(after_ns: int) -> Book:
    """News is shown on bob's device so long after it was due."""
    book = talk()
    for line in book.lines:
        if line["e"] == "show" and line["msg"] == "news" and line["device"] == "bob-1":
            line["t"] = ns(3) + after_ns
    return book.read_back(60)


@good
def latency_at_the_bound() -> Book:
    return shown_after(200_000_000)


@bad()
def latency__one_nanosecond_over() -> Book:
    return shown_after(200_000_001)


def acked_after(after_ns: int) -> Book:
    book = talk()
    for line in book.lines:
        if line["e"] == "ack" and line["msg"] == "news":
            line["t"] = ns(3) + after_ns
    return book.read_back(60)


@good
def answered_at_the_bound() -> Book:
    return acked_after(10_000_000_000)


@bad()
def answers__one_nanosecond_over() -> Book:
    return acked_after(10_000_000_001)


def numbered_across(*, skew_s: float, error_ms: float | None = None) -> Book:
    """Bob's message, then ann's. Bob's clock is ahead, so that his send seems to follow ann's ack."""
    book = Book()
    if error_ms is not None:
        book.add("meta", 0, bounds={"clock_error_ms": error_ms, "latency_ms": 1000})
    book.say(1, "bob", "first")
    book.say(1.2, "ann", "second")
    book.read_back(60)
    for line in book.lines:
        if line.get("device") == "bob-1" and "msg" in line:
            line["t"] = int(str(line["t"])) + round(skew_s * 1e9)
            if "due" in line:
                line["due"] = line["t"]
    return book


@good
def clocks_apart_within_the_stated_error() -> Book:
    return numbered_across(skew_s=0.4, error_ms=500)


@unknown("latency", "liveness", "order")
def clocks__a_device_is_an_hour_ahead() -> Book:
    return numbered_across(skew_s=3600)


@bad()
def order__apart_by_more_than_the_stated_error() -> Book:
    book = Book()
    book.add("meta", 0, bounds={"clock_error_ms": 100, "latency_ms": 1000})
    book.say(1, "bob", "second", to=(), seq=2)
    del book.lines[-1]
    book.say(1.2, "ann", "first", seq=1)
    for person in book.people:
        book.copy("show", 1.3, person, "second", 2)
    return book.read_back(60)


@good
def a_fault_that_strikes_again_as_it_heals() -> Book:
    book = talk()
    book.fault(4, 10)
    book.fault(10, 30)
    book.say(15, "ann", "slow", lag=20)
    return book.read_back(90)


def a_slow_message(kind: str, *, to: tuple[str, ...] | None = None) -> Book:
    book = Book()
    book.add(kind, 4, name="crash", target="gateway-1", phase="inject")
    book.say(5, "ann", "slow", lag=25, to=to)
    book.add(kind, 30, name="crash", target="gateway-1", phase="heal")
    return book


@good
def late_behind_a_fault_of_others() -> Book:
    return a_slow_message("fault").read_back(90)


@unknown("latency")
def liveness__late_behind_a_misspelled_fault() -> Book:
    return a_slow_message("faults").read_back(90)


@bad("gaps_forks", doubt=("latency", "liveness"))
def acked_lost__and_a_fault_is_misspelled() -> Book:
    book = a_slow_message("faults", to=("bob",))
    book.add("offline", 0.5, device="cid-1")
    return book.read_back(90, lacking={"cid": ("slow",)})


def read_early(t: float) -> Book:
    """Cid's device is away, and reads back at `t`, before the last message."""
    book = Book()
    book.say(1, "ann", "hello")
    book.add("offline", 2, device="cid-1")
    book.read_back(t, who=("cid",))
    book.say(20, "bob", "later", to=("ann",))
    return book.read_back(60, who=("ann", "bob"))


@unknown()
def acked_lost__read_back_before_it_was_sent() -> Book:
    return read_early(10)


@bad()
def acked_lost__read_back_at_the_time_of_the_ack() -> Book:
    return read_early(20.02)


@unknown("acked_lost")
def session__read_back_before_it_was_shown() -> Book:
    book = Book()
    book.say(1, "ann", "hello")
    book.read_back(10, who=("cid",))
    book.say(20, "bob", "later")
    return book.read_back(60, who=("ann", "bob"))


def in_phases(**began: float) -> Book:
    """A message that never comes, in a history of others that tells phases."""
    book = talk()
    book.say(5, "ann", "lost on the way", to=("bob",))
    for name, t in began.items():
        book.add("phase", t, name=name)
    return book.read_back(60)


@bad()
def liveness__never_shown_in_the_phases_of_others() -> Book:
    return in_phases(steady=0, final=55)


@unknown()
def vacuity__the_final_phase_of_others_hides_the_sends() -> Book:
    return in_phases(steady=0, final=0.5)
