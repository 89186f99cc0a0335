"""Things come too late, too early or not at all."""

from tests.chaos.verdict.book import Book, ns
from tests.chaos.verdict.cases.registry import bad, good, talk, unknown


def away_and_back(shown: float | None, *, off: float | None = None, fault: bool = False) -> Book:
    """Bob is away while something is said, comes back at 10 and shows it at `shown`."""
    book = Book()
    book.add("offline", 2, device="bob-1")
    book.say(3, "ann", "missed", to=("cid",))
    book.add("online", 10, device="bob-1")
    if fault:
        book.fault(12, 14)
    if off is not None:
        book.add("offline", off, device="bob-1")
    if shown is not None:
        book.copy("show", shown, "bob", "missed", 1)
    return book


@bad("liveness")
def catch_up__never() -> Book:
    return away_and_back(None).read_back(60)


@bad()
def catch_up__too_late() -> Book:
    return away_and_back(21).read_back(60)


@good
def catch_up_within_the_bound() -> Book:
    return away_and_back(19.9).read_back(60)


@good
def catch_up_delayed_by_a_fault() -> Book:
    return away_and_back(23, fault=True).read_back(60)


@good
def catch_up_not_due_to_who_leaves_again() -> Book:
    return away_and_back(None, off=15).read_back(60)


@bad()
def liveness__never_shown() -> Book:
    book = talk()
    book.say(4, "ann", "lost on the way", to=("bob",))
    return book.read_back(60)


@bad("latency")
def liveness__shown_too_late_after_the_heal() -> Book:
    book = talk()
    book.fault(4, 6)
    book.say(5, "ann", "slow", to=("bob",))
    book.copy("show", 26.5, "cid", "slow", 4)
    book.say(30, "ann", "late", lag=0.5)
    return book.read_back(60)


@bad()
def liveness__not_shown_in_all_the_time_before_leaving() -> Book:
    book = talk()
    book.say(4, "ann", "lost on the way", to=("bob",))
    book.add("offline", 30, device="cid-1")
    book.add("online", 40, device="cid-1")
    book.copy("show", 40.1, "cid", "lost on the way", 4)
    return book.read_back(60)


def leaving_with_a_message_on_its_way(left: float) -> Book:
    """One of our runs, steady until 40; cid leaves 10 s after something was said and not shown there."""
    book = talk()
    book.own(until=40, min_acked=1, min_deliveries=1)
    book.say(left - 10, "ann", "on its way", to=("bob",))
    book.add("offline", left, device="cid-1")
    return book.read_back(81)


@good
def leaving_before_the_quiesce_phase() -> Book:
    return leaving_with_a_message_on_its_way(35)


@unknown()
def liveness__leaving_in_the_quiesce_phase() -> Book:
    return leaving_with_a_message_on_its_way(45)


@bad()
def liveness__a_broken_connection_excuses_nothing() -> Book:
    book = talk()
    book.add("offline", 4, device="cid-1", planned=False)
    book.say(5, "ann", "cut off", to=("bob",))
    return book.read_back(60)


def back_in_the_same_moment(shown: float | None) -> Book:
    """Bob is away and comes back at the same time, as far as the clock can tell."""
    book = talk()
    for event in ("offline", "online"):
        book.add(event, 5, device="bob-1")
    book.add("offline", 4, device="cid-1")
    book.say(6, "ann", "here you are", to=())
    book.add("push", 7, device="cid-1", conv="room", seq=4)
    if shown is not None:
        book.copy("show", shown, "bob", "here you are", 4)
    book.add("presence", 8, viewer="ann-1", user="bob", state="online")
    return book.read_back(90)


@bad()
def liveness__back_in_the_same_moment_and_never_told() -> Book:
    return back_in_the_same_moment(None)


@good
def back_in_the_same_moment_and_told() -> Book:
    return back_in_the_same_moment(6.05)


@unknown()
def liveness__nothing_tells_who_was_there() -> Book:
    book = Book(online=False)
    book.say(1, "ann", "hello", to=())
    return book.read_back(60)


@unknown()
def liveness__the_history_ends_too_early() -> Book:
    book = talk()
    book.say(4, "ann", "on its way", to=("bob",))
    return book.read_back(10)


@unknown("vacuity")
def liveness__a_fault_never_healed() -> Book:
    book = talk()
    book.fault(5, None)
    return book.read_back(60)


@bad()
def latency__slow_deliveries() -> Book:
    book = talk()
    book.say(4, "ann", "slow", lag=0.3)
    return book.read_back(60)


@good
def slow_before_the_steady_phase_and_at_the_bound_in_it() -> Book:
    book = Book()
    book.own(until=40, min_acked=1, min_deliveries=1)
    book.say(0.4, "ann", "while all starts", lag=0.5)
    book.say(2, "bob", "just in time", lag=0.2)
    return book.read_back(81)


@bad()
def latency__a_stalled_sender() -> Book:
    book = talk()
    book.say(5, "ann", "stalled", due=4)
    return book.read_back(60)


@bad()
def latency__not_recovered_in_time() -> Book:
    book = talk()
    book.fault(5, 6)
    for n in range(24):
        book.say(6.5 + n / 2, "ann", f"m{n}", lag=0.4)
    return book.read_back(60)


@unknown()
def latency__too_few_steady_deliveries() -> Book:
    book = Book()
    book.own(until=40, min_acked=1, min_deliveries=60)
    book.fault(10, 15, fault="f1")
    for n in range(30):
        book.say(2 + n, "ann", f"m{n}")
    return book.read_back(81)


def pushes(*at: tuple[float, str, int]) -> Book:
    """Cid is away from 0.5 to 20; something is said at 1 and at 30; pushes as given."""
    book = Book()
    book.add("offline", 0.5, device="cid-1")
    book.say(1, "ann", "missed", to=("bob",))
    book.add("online", 20, device="cid-1")
    book.copy("show", 20.1, "cid", "missed", 1)
    book.say(30, "ann", "seen")
    for t, device, seq in at:
        book.add("push", t, device=device, conv="room", seq=seq)
    return book.read_back(60)


@bad()
def push__too_late() -> Book:
    return pushes((7, "cid-1", 1))


@bad()
def push__somebody_else_got_it() -> Book:
    return pushes((2, "bob-1", 1))


@bad()
def push__in_the_hand() -> Book:
    return pushes((2, "cid-1", 1), (31, "cid-1", 2))


def broken_at(end: float) -> Book:
    """Cid shows a message at 30.1 and gets a push of it at 31; its connection breaks at `end`."""
    book = Book()
    book.say(30, "ann", "seen")
    book.add("push", 31, device="cid-1", conv="room", seq=1)
    book.add("offline", end, device="cid-1", planned=False)
    return book.read_back(60)


@good
def a_push_as_the_gateway_dies() -> Book:
    return broken_at(31.4)


@bad()
def push__well_before_the_connection_broke() -> Book:
    return broken_at(34)


@bad()
def push__to_nobody_whose_first_event_is_an_offline() -> Book:
    book = Book(online=False)
    for device in ("bob-1", "cid-1"):
        book.add("offline", 0.5, device=device)
    book.say(1, "ann", "missed", to=())
    book.add("push", 2, device="bob-1", conv="room", seq=1)
    return book.read_back(60)


@bad()
def push__before_it_was_sent() -> Book:
    book = Book()
    book.add("offline", 0.5, device="cid-1")
    book.add("push", 0.6, device="cid-1", conv="room", seq=2)
    book.say(1, "ann", "hello", to=("bob",))
    return book.read_back(60)


def half_open(arrives: float, *at: tuple[float, str, int]) -> Book:
    """Something is said at 3; it comes to cid, who seems online throughout, when it `arrives`. Pushes as given."""
    book = Book()
    book.add("meta", 0, bounds={"push_s": 5, "silence_s": 2.5})
    book.fault(2, 12)
    book.say(3, "ann", "in a tunnel", to=("bob",))
    for t, device, seq in at:
        book.add("push", t, device=device, conv="room", seq=seq)
    for event in ("wire", "show"):
        book.copy(event, arrives, "cid", "in a tunnel", 1)
    return book


@good
def a_push_to_who_is_silent_on_a_half_open_connection() -> Book:
    return half_open(13, (6.5, "cid-1", 1)).read_back(60)


@good
def no_push_to_who_gets_the_message_in_time() -> Book:
    book = half_open(10.4)
    book.add("offline", 20, device="bob-1")
    book.say(30, "ann", "later", to=("cid",))
    book.add("push", 31, device="bob-1", conv="room", seq=2)
    return book.read_back(61)


@bad()
def push__to_nobody_on_a_half_open_connection() -> Book:
    return half_open(13, (6.5, "bob-1", 1)).read_back(60)


@bad()
def push__to_a_half_open_connection_too_late() -> Book:
    return half_open(13, (11, "cid-1", 1)).read_back(60)


@bad()
def presence__a_ghost() -> Book:
    book = talk()
    book.add("presence", 4, viewer="ann-1", user="bob", state="online")
    book.add("offline", 5, device="bob-1")
    return book.read_back(90)


@bad()
def presence__a_ghost_looked_at_again() -> Book:
    book = talk()
    book.add("presence", 4, viewer="ann-1", user="bob", state="online")
    book.add("presence", 4.5, viewer="ann-1", user="bob", state="unknown")
    book.add("offline", 5, device="bob-1")
    book.add("presence", 6, viewer="ann-1", user="bob", state="online")
    return book.read_back(90)


@bad()
def presence__not_seen_coming_back() -> Book:
    book = talk()
    book.add("offline", 5, device="bob-1")
    book.add("presence", 6, viewer="ann-1", user="bob", state="offline")
    book.add("online", 7, device="bob-1")
    return book.read_back(90)


def told_again(*, reconnects: bool) -> Book:
    """Bob leaves; Ann is told at 4 and again at 50 that he is there, until 95; meanwhile she may have been away."""
    book = talk()
    book.add("presence", 4, viewer="ann-1", user="bob", state="online")
    book.add("offline", 5, device="bob-1")
    if reconnects:
        book.add("offline", 48, device="ann-1")
        book.add("online", 49, device="ann-1")
    book.add("presence", 50, viewer="ann-1", user="bob", state="online")
    return book.read_back(95)


@bad()
def presence__a_ghost_told_again() -> Book:
    return told_again(reconnects=False)


@good
def presence_stale_before_and_after_a_break() -> Book:
    return told_again(reconnects=True)


def comes_late(*, offline: float | None = None) -> Book:
    """Bob's first event is his `online` at 90, or an `offline`; Ann was told at 2 that he is there."""
    book = talk()
    book.lines.remove({"e": "online", "t": ns(0), "device": "bob-1"})
    if offline is not None:
        book.add("offline", offline, device="bob-1", planned=False)
    book.add("presence", 2, viewer="ann-1", user="bob", state="online")
    book.add("online", 90, device="bob-1", planned=False)
    return book


@bad()
def presence__a_ghost_of_somebody_yet_to_come() -> Book:
    return comes_late().read_back(100)


@bad()
def presence__a_ghost_whose_first_event_is_an_offline() -> Book:
    return comes_late(offline=5).read_back(100)


@good
def presence_before_a_first_offline_is_not_known() -> Book:
    return comes_late(offline=80).read_back(100)


@good
def presence_of_somebody_with_a_device_that_nothing_is_known_of() -> Book:
    book = Book()
    book.add("device", 0, device="bob-2", user="bob")
    book.say(1, "bob", "hello")
    book.add("show", 1.05, device="bob-2", **book.said[0])
    book.add("offline", 5, device="bob-1")
    book.add("presence", 6, viewer="ann-1", user="bob", state="online")
    book.add("final", 90, device="bob-2", **book.said[0])
    book.add("final_done", 90, device="bob-2", conv="room", head=1)
    return book.read_back(90)


@good
def presence_on_a_screen_whose_first_event_is_its_offline() -> Book:
    book = talk()
    book.lines.remove({"e": "online", "t": ns(0), "device": "ann-1"})
    book.add("presence", 4, viewer="ann-1", user="bob", state="online")
    book.add("offline", 5, device="ann-1")
    book.add("offline", 6, device="bob-1")
    return book.read_back(90)


def told_of_all(book: Book) -> None:
    """Everybody tells the authors of all three messages."""
    for reader, author in (("cid", "ann"), ("ann", "bob"), ("cid", "bob"), ("bob", "ann")):
        seq = 2 if author == "bob" else 3
        book.add("receipt", 4.5, device=f"{author}-1", conv="room", seq=seq, kind="read", by=reader)


@bad()
def receipts__from_somebody_who_is_no_member() -> Book:
    book = talk(Book(outsiders=("eve",)))
    book.add("receipt", 4, device="ann-1", conv="room", seq=3, kind="read", by="eve")
    return book.read_back(60)


@good
def receipts_up_to_an_own_message() -> Book:
    book = talk()
    book.lines = [
        line for line in book.lines if not (line["e"] == "show" and line["msg"] == "hi" and line["device"] == "bob-1")
    ]
    book.add("receipt", 2.5, device="ann-1", conv="room", seq=2, kind="read", by="bob")
    told_of_all(book)
    return book.read_back(60)


@good
def receipts_of_who_was_just_added() -> Book:
    book = talk(Book(outsiders=("eve",)))
    book.member(4, "eve", seq=4)
    book.add("receipt", 5, device="ann-1", conv="room", seq=4, kind="delivered", by="eve")
    told_of_all(book)
    book.add("final_done", 60, device="eve-1", conv="room", head=4)
    return book.read_back(60)


@bad()
def receipts__before_the_display() -> Book:
    book = talk()
    book.add("receipt", 3.04, device="ann-1", conv="room", seq=3, kind="read", by="bob")
    return book.read_back(60)


@bad()
def receipts__going_back() -> Book:
    book = talk()
    book.add("receipt", 4, device="ann-1", conv="room", seq=3, kind="read", by="bob-1")
    book.add("receipt", 5, device="ann-1", conv="room", seq=1, kind="read", by="bob-1")
    return book.read_back(60)
