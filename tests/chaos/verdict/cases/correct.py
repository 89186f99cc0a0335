"""Nothing wrong: the situations that a correct system gets into."""

from tests.chaos.verdict.book import Book
from tests.chaos.verdict.cases.registry import good, talk


@good
def plain() -> Book:
    return talk().read_back(60)


@good
def without_connection_events() -> Book:
    return talk(Book(online=False)).read_back(60)


@good
def members_come_and_go() -> Book:
    book = Book(("ann", "bob"), outsiders=("cid",))
    book.say(1, "ann", "before")
    book.member(2, "cid", seq=2)
    book.say(3, "ann", "welcome", to=("bob", "cid"))
    book.member(4, "cid", "remove", seq=4)
    book.say(5, "bob", "after")
    book.read_back(60)
    book.add("final", 60, device="cid-1", conv="room", seq=3, msg="welcome", hash="#welcome")
    book.add("final_done", 60, device="cid-1", conv="room", head=4)
    return book


@good
def offline_and_back() -> Book:
    book = Book()
    book.say(1, "ann", "hello")
    book.add("offline", 2, device="bob-1", planned=True)
    book.say(3, "ann", "missed", to=("cid",))
    book.add("online", 30, device="bob-1")
    book.copy("wire", 30.3, "bob", "missed", 2)
    book.copy("show", 30.3, "bob", "missed", 2)
    return book.read_back(60)


@good
def away_for_good() -> Book:
    book = Book()
    book.add("offline", 0.5, device="cid-1")
    book.say(1, "ann", "hello", to=("bob",))
    return book.read_back(60)


@good
def slow_while_a_fault_is_on() -> Book:
    book = Book()
    book.say(1, "ann", "before")
    book.fault(10, 15)
    book.say(9.9, "ann", "on its way", lag=5)
    book.say(14.95, "ann", "during", lag=0.3)
    book.say(15.2, "ann", "first second", lag=0.6)
    book.say(16.2, "bob", "second second")
    book.say(30, "ann", "after")
    return book.read_back(90)


@good
def no_answer_but_everywhere() -> Book:
    book = talk()
    book.fault(3.5, 4.5)
    book.say(4, "bob", "ack lost", acked=False)
    book.copy("show", 4.05, "bob", "ack lost", 4)
    return book.read_back(60)


@good
def no_answer_but_wherever_it_must_be() -> Book:
    book = Book()
    book.member(2, "cid", "remove", seq=1)
    book.say(3, "ann", "hello", to=("bob",))
    book.fault(3.5, 4.5)
    book.say(4, "bob", "ack lost", acked=False, to=("ann",))
    return book.read_back(60, who=("ann", "bob"))


@good
def no_answer_and_nowhere() -> Book:
    book = talk()
    book.fault(3.5, 4.5)
    book.invoke(4, "bob", "never taken")
    return book.read_back(60)


@good
def refused_and_nowhere() -> Book:
    book = talk()
    book.member(3.9, "bob", "remove", seq=4)
    book.invoke(4, "bob", "refused")
    book.add("nack", 4.01, device="bob-1", conv="room", msg="refused", definite=True)
    return book.read_back(60)


@good
def refused_for_now_then_taken() -> Book:
    book = talk()
    book.add("nack", 4.01, device="bob-1", conv="room", msg="again", definite=False)
    book.say(4, "bob", "again")
    return book.read_back(60)


@good
def arrives_twice_shown_once() -> Book:
    book = talk()
    book.copy("wire", 3.2, "bob", "news", 3)
    return book.read_back(60)


@good
def what_others_record_is_ignored() -> Book:
    book = talk()
    book.add("cpu", 1, load=0.5, seq="many")
    book.lines[0]["colour"] = "blue"
    return book.read_back(60)


@good
def numbers_as_ids() -> Book:
    book = talk().read_back(60)
    ids: dict[object, int] = {}
    for line in book.lines:
        for field in ("device", "user", "conv", "msg", "hash"):
            if field in line:
                line[field] = ids.setdefault(line[field], len(ids) - 2)
    return book


@good
def pushes_presence_receipts() -> Book:
    book = Book()
    book.add("offline", 0.5, device="cid-1")
    book.say(1, "ann", "hello", to=("bob",))
    book.add("push", 2, device="cid-1", conv="room", seq=1)
    book.add("receipt", 1.2, device="ann-1", conv="room", seq=1, kind="delivered", by="bob")
    book.add("receipt", 1.3, device="ann-1", conv="room", seq=1, kind="read", by="bob")
    book.add("presence", 0.2, viewer="ann-1", user="cid", state="online")
    book.add("presence", 5, viewer="ann-1", user="cid", state="offline")
    return book.read_back(200)


@good
def presence_of_somebody_looked_at_no_more() -> Book:
    book = talk()
    book.add("presence", 4, viewer="ann-1", user="bob", state="online")
    book.add("presence", 4.5, viewer="ann-1", user="bob", state="unknown")
    book.add("offline", 5, device="bob-1")
    return book.read_back(90)


@good
def one_of_our_runs() -> Book:
    book = Book()
    book.own(until=40, min_acked=4, min_deliveries=8)
    book.add("plan", 0, fault="f1", name="crash", target="gateway-1", at_s=9, for_s=5)
    book.fault(10, 15, fault="f1")
    for n, t in enumerate((2, 5, 12, 20, 25, 30)):
        book.say(t, "ann", f"m{n}")
    return book.read_back(81)
