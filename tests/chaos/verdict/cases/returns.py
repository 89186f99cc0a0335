"""Devices that begin to come back, as planned, and are let in soon, late or never."""

from tests.chaos.verdict.book import Book, ns
from tests.chaos.verdict.cases.registry import bad, good, talk, unknown


def comes_back(online: float | None, shown: float | None, *, fault: tuple[float, float] | None = None) -> Book:
    """Bob is away from 4 on, begins to come back at 10, and is online at `online`; something is said at 5."""
    book = talk()
    book.add("offline", 4, device="bob-1")
    book.say(5, "ann", "missed", to=("cid",))
    book.add("due_online", 10, device="bob-1")
    if fault is not None:
        book.fault(*fault)
    if online is not None:
        book.add("online", online, device="bob-1")
    if shown is not None:
        book.copy("show", shown, "bob", "missed", 4)
    return book


@bad()
def liveness__comes_back_and_is_never_let_in() -> Book:
    return comes_back(None, None).read_back(60)


@bad()
def liveness__let_in_after_the_bound() -> Book:
    return comes_back(31, 31.05).read_back(60)


@good
def let_in_slowly_within_the_bound() -> Book:
    return comes_back(25, 29.9).read_back(60)


@good
def let_in_slowly_behind_a_fault() -> Book:
    return comes_back(38, 39, fault=(12, 20)).read_back(60)


@bad()
def liveness__let_in_too_late_after_the_heal() -> Book:
    return comes_back(39, 40.5, fault=(12, 20)).read_back(60)


@bad()
def liveness__let_in_late_in_calm_after_a_fault() -> Book:
    return comes_back(31, 31.05, fault=(6, 9)).read_back(60)


@good
def never_let_in_and_soon_away_as_planned() -> Book:
    book = comes_back(None, None)
    book.add("offline", 29, device="bob-1")
    return book.read_back(60)


@unknown()
def liveness__begins_to_come_back_just_before_the_end() -> Book:
    return comes_back(None, None).read_back(29)


@good
def on_its_way_back_nobody_measures_its_latency() -> Book:
    book = comes_back(20, 20.05)
    book.say(12, "cid", "while it waits", to=("ann",))
    book.copy("show", 20.05, "bob", "while it waits", 5)
    return book.read_back(60)


def behind_forty_faults(shown: float) -> Book:
    """Faults follow each other from 10 to 50; bob comes back at 30, and shows at `shown` what was said at 5."""
    book = talk()
    book.add("offline", 4, device="bob-1")
    book.say(5, "ann", "missed", to=("cid",))
    for n in range(40):
        book.fault(10 + n, 11 + n, fault=f"f{n}")
    book.add("online", 30, device="bob-1")
    book.copy("show", shown, "bob", "missed", 4)
    return book.read_back(120)


@good
def caught_up_behind_forty_faults() -> Book:
    return behind_forty_faults(59)


@bad("liveness")
def catch_up__too_late_behind_forty_faults() -> Book:
    return behind_forty_faults(95)


@bad()
def liveness__never_online_at_all() -> Book:
    book = Book(people=("ann", "bob", "cid"))
    book.lines.remove({"e": "online", "t": ns(0), "device": "cid-1"})
    book.add("due_online", 0, device="cid-1")
    book.say(1, "ann", "hello", to=("bob",))
    return book.read_back(60)


@good
def due_online_told_again_changes_nothing() -> Book:
    book = comes_back(12, 12.05)
    for t in (10.5, 11, 30):
        book.add("due_online", t, device="bob-1")
    return book.read_back(60)


@bad()
def answers__a_send_of_who_waits_to_be_online() -> Book:
    book = comes_back(28, 28.05)
    book.invoke(11, "bob", "anybody there?")
    return book.read_back(60)


def run_of_ours(*absent: tuple[float, float], silent: bool = False) -> Book:
    """A run of ours, steady from 1 to 41; bob is due online from 0 on, and is not in these times."""
    book = Book()
    book.own(until=41, min_acked=1, min_deliveries=1)
    for person in book.people:
        book.add("due_online", -0.5, device=f"{person}-1")
    for start, end in absent:
        book.add("offline", start, device="bob-1", planned=False)
        book.add("online", end, device="bob-1")
    book.say(2, "ann", "hello")
    if silent:
        book.add("device", 0, device="eve-1", user="eve")
    return book


@unknown()
def vacuity__a_device_is_not_online_for_long() -> Book:
    return run_of_ours((10, 17)).read_back(81)  # 7 of 120 s: 94.2 %


@unknown()
def vacuity__a_device_was_never_started() -> Book:
    return run_of_ours(silent=True).read_back(81)


@unknown()
def vacuity__all_gateways_are_down_for_twenty_seconds() -> Book:
    book = run_of_ours((10, 30))
    for person in ("ann", "cid"):
        book.add("offline", 10, device=f"{person}-1", planned=False)
        book.add("online", 30, device=f"{person}-1")
    return book.read_back(81)


@good
def a_device_is_hardly_ever_not_online() -> Book:
    return run_of_ours((10, 15.9)).read_back(81)  # 5.9 of 120 s: 95.1 %


@good
def devices_connect_again_and_again() -> Book:
    return run_of_ours((5, 10), (15, 20), (25, 30)).read_back(81)


@good
def not_online_while_a_fault_is_on() -> Book:
    book = run_of_ours((10, 20.5))
    plan = {"fault": "f1", "name": "crash", "target": "gateway-1"}
    book.add("plan", 0, **plan, at_s=9, for_s=10)
    book.fault(10, 20, fault="f1")
    for n, t in enumerate((5, 15, 25)):
        book.say(t, "ann", f"m{n}", to=("cid",) if t == 15 else None)
    book.copy("show", 20.6, "bob", "m1", 3)
    return book.read_back(81)
