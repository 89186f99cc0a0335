"""Sends that are refused, answered late or not at all; clocks that cannot be."""

from tests.chaos.verdict.book import Book, ns
from tests.chaos.verdict.cases.registry import bad, good, talk, unknown


def refused(book: Book, t: float, who: str, msg: str) -> None:
    book.invoke(t, who, msg)
    book.add("nack", t + 0.01, device=f"{who}-1", conv="room", msg=msg, definite=True)


@bad()
def answers__a_member_is_refused() -> Book:
    book = talk()
    refused(book, 4, "bob", "no")
    return book.read_back(60)


@bad()
def answers__an_ack_comes_after_the_bound() -> Book:
    book = talk()
    book.say(4, "ann", "slow")
    late = next(line for line in book.lines if line["e"] == "ack" and line["msg"] == "slow")
    late["t"] = ns(14.5)
    return book.read_back(60)


@bad()
def answers__never() -> Book:
    book = talk()
    book.invoke(4, "bob", "nobody answers")
    return book.read_back(60)


@bad()
def answers__refused_just_after_the_add() -> Book:
    book = talk(Book(("ann", "bob", "cid"), outsiders=("eve",)))
    book.member(4, "eve", seq=4)
    refused(book, 5, "eve", "hello all")
    book.add("final_done", 60, device="eve-1", conv="room", head=4)
    return book.read_back(60)


@unknown("vacuity")
def answers__refused_where_a_removal_may_be_unrecorded() -> Book:
    book = talk()
    refused(book, 4, "bob", "no")
    book.say(40, "bob", "still there")
    book.add("hole", 50, process="worker-1", detail="died")
    return book.read_back(60)


@good
def refused_near_a_removal() -> Book:
    book = talk()
    refused(book, 4, "bob", "too late")
    book.member(6, "bob", "remove", seq=4)
    return book.read_back(60)


@good
def refused_to_who_is_no_member() -> Book:
    book = talk(Book(outsiders=("eve",)))
    refused(book, 4, "eve", "let me in")
    return book.read_back(60)


@good
def answered_late_behind_a_fault() -> Book:
    book = talk()
    book.say(4, "ann", "slow", lag=0.1)
    late = next(line for line in book.lines if line["e"] == "ack" and line["msg"] == "slow")
    late["t"] = ns(25)
    book.fault(5, 20)
    return book.read_back(90)


@good
def not_answered_as_the_sender_left() -> Book:
    book = talk()
    book.invoke(4, "bob", "and goodbye")
    book.add("offline", 5, device="bob-1")
    return book.read_back(60)


@good
def not_answered_before_the_end() -> Book:
    book = talk()
    book.read_back(60)
    book.invoke(55, "bob", "too late")
    return book


@unknown()
def clocks__shown_before_it_was_sent() -> Book:
    book = talk()
    book.say(10, "ann", "early", lag=-0.5)
    return book.read_back(60)


@unknown()
def clocks__wanted_later_than_sent() -> Book:
    book = talk()
    book.say(10, "ann", "eager", due=11)
    return book.read_back(60)


@unknown("latency", "liveness")
def clocks__an_accusation_by_such_a_clock_proves_nothing() -> Book:
    book = talk()
    book.say(10, "ann", "early", lag=-0.5)
    book.say(20, "bob", "late", lag=25)
    return book.read_back(90)


@unknown()
def clocks__sends_in_milliseconds() -> Book:
    book = talk().read_back(60)
    for line in book.lines:
        if line["e"] == "send":
            line["t"], line["due"] = line["t"] // 10**6, line["due"] // 10**6
    return book


@unknown()
def clocks__everything_in_milliseconds() -> Book:
    book = talk().read_back(60)
    for line in book.lines:
        for name in ("t", "due"):
            if name in line:
                line[name] //= 10**6
    return book


@good
def clocks_a_little_apart() -> Book:
    book = talk()
    book.say(10, "ann", "hello again", lag=-0.008)
    return book.read_back(60)
