"""Nothing wrong was seen, and that proves nothing."""

from tests.chaos.verdict.book import Book
from tests.chaos.verdict.cases.correct import one_of_our_runs
from tests.chaos.verdict.cases.registry import talk, unknown


@unknown()
def vacuity__nothing_sent() -> Book:
    return Book()


@unknown()
def vacuity__nothing_acked() -> Book:
    book = Book()
    book.fault(0.5, 1.5)
    book.invoke(1, "ann", "hello")
    return book.read_back(60)


def planned(**changes: object) -> Book:
    """One of our runs with a planned fault."""
    book = one_of_our_runs()
    for line in book.lines:
        if line["e"] == "fault" and line["phase"] == changes.get("phase"):
            line["ok"] = False
    return book


@unknown()
def vacuity__the_fault_did_not_bite() -> Book:
    return planned(phase="inject")


@unknown("liveness", "latency")
def vacuity__not_proven_healed() -> Book:
    return planned(phase="heal")


@unknown()
def vacuity__never_injected() -> Book:
    book = one_of_our_runs()
    book.lines = [line for line in book.lines if line["e"] != "fault"]
    return book


@unknown("latency")
def vacuity__nothing_sent_during_the_fault() -> Book:
    book = one_of_our_runs()
    book.lines = [line for line in book.lines if line.get("msg") not in ("m2", "m3")]
    for line in book.lines:  # m4 and m5 take the numbers of m2 and m3
        if line.get("msg") in ("m4", "m5") and "seq" in line:
            line["seq"] -= 2
        if line["e"] == "final_done":
            line["head"] -= 2
    return book


@unknown()
def vacuity__one_injection_for_two_plans() -> Book:
    book = one_of_our_runs()
    for line in book.lines:
        if line["e"] in ("plan", "fault"):
            line["fault"] = ""
    book.add("plan", 0, fault="", name="crash", target="gateway-1", at_s=19, for_s=5)
    return book


@unknown()
def vacuity__a_fault_of_others_that_did_not_bite() -> Book:
    book = talk()
    book.fault(5, 6, ok=False, fault="f1")
    return book.read_back(60)


@unknown()
def vacuity__one_name_for_two_messages() -> Book:
    book = talk()
    book.invoke(1.5, "bob", "hello")
    return book.read_back(60)


@unknown()
def vacuity__too_few_operations() -> Book:
    book = one_of_our_runs()
    for line in book.lines:
        if line["e"] == "meta":
            line["bounds"] = {"min_acked": 100, "min_deliveries": 8}
    return book


@unknown("latency")
def vacuity__too_few_deliveries() -> Book:
    book = one_of_our_runs()
    for line in book.lines:
        if line["e"] == "meta":
            line["bounds"] = {"min_acked": 4, "min_deliveries": 13}
    return book


@unknown("latency")
def vacuity__nothing_sent_in_the_steady_phase() -> Book:
    book = Book()
    book.own(until=40, min_acked=1, min_deliveries=1)
    book.say(0.5, "ann", "hello")
    return book.read_back(81)


@unknown()
def vacuity__a_swarm_process_died() -> Book:
    book = one_of_our_runs()
    book.add("hole", 20, process="worker-1", detail="killed by signal 9")
    return book


@unknown("gaps_forks")
def vacuity__a_change_with_an_unknown_outcome() -> Book:
    book = talk()
    book.say(4, "ann", "five", seq=5)
    book.add("hole", 3.5, process="worker-1", detail="add user 9: outcome unknown")
    return book.read_back(60)
