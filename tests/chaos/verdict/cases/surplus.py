"""What is told too often, too late, to the wrong people, under a wrong name or a number that something else has."""

from tests.chaos.verdict.book import Book, ns
from tests.chaos.verdict.cases.registry import bad, good, talk
from tests.chaos.verdict.cases.timing import told_of_all


def pushed(*at: tuple[float, str, int], outsiders: tuple[str, ...] = ()) -> Book:
    """Cid is away from 0.5 to 20 and gets the push that is due; then pushes as given."""
    book = Book(outsiders=outsiders)
    book.add("offline", 0.5, device="cid-1")
    book.say(1, "ann", "missed", to=("bob",))
    book.add("push", 2, device="cid-1", conv="room", seq=1)
    book.add("online", 20, device="cid-1")
    book.copy("show", 20.1, "cid", "missed", 1)
    for t, device, seq in at:
        book.add("push", t, device=device, conv="room", seq=seq)
    return book.read_back(60)


@bad()
def push__of_what_does_not_exist() -> Book:
    return pushed((30, "cid-1", 7))


@bad()
def push__to_who_is_no_member() -> Book:
    book = pushed((3, "eve-1", 1), outsiders=("eve",))
    book.lines.remove({"e": "online", "t": ns(0), "device": "eve-1"})
    return book


@bad()
def push__of_what_was_shown_there_before() -> Book:
    book = pushed((40, "cid-1", 1))
    book.add("offline", 39, device="cid-1")
    return book


@bad()
def push__again_and_again() -> Book:
    return pushed((3, "cid-1", 1), (4, "cid-1", 1), (5, "cid-1", 1))


@bad()
def push__none_to_a_device_that_never_came() -> Book:
    book = pushed()
    book.add("device", 0, device="cid-2", user="cid")
    book.add("final", 60, device="cid-2", **book.said[0])
    book.add("final_done", 60, device="cid-2", conv="room", head=1)
    return book


@good
def pushed_to_a_device_that_never_came() -> Book:
    book = push__none_to_a_device_that_never_came()
    book.add("push", 3, device="cid-2", conv="room", seq=1)
    return book


@good
def pushed_while_it_came_back() -> Book:
    return pushed((20.3, "cid-1", 1))


@good
def pushed_over_a_connection_that_was_half_open() -> Book:
    book = talk()
    book.add("push", 3.5, device="cid-1", conv="room", seq=4)
    book.say(3.2, "bob", "are you there", to=("ann",))
    book.add("offline", 10, device="cid-1", planned=False)
    book.add("online", 12, device="cid-1")
    book.copy("show", 12.1, "cid", "are you there", 4)
    book.fault(3.3, 13)
    return book.read_back(60)


def looked_at(*, again: float | None) -> Book:
    """Ann looks at bob, is cut off at 10 and back at 11, and is told again at `again`."""
    book = talk()
    book.add("presence", 4, viewer="ann-1", user="bob", state="online")
    book.add("offline", 10, device="ann-1")
    book.add("online", 11, device="ann-1")
    if again is not None:
        book.add("presence", again, viewer="ann-1", user="bob", state="online")
    return book.read_back(100)


@bad()
def presence__not_told_again_after_a_reconnect() -> Book:
    return looked_at(again=None)


@bad()
def presence__told_again_too_late_after_a_reconnect() -> Book:
    return looked_at(again=75)


@good
def presence_told_again_after_a_reconnect() -> Book:
    return looked_at(again=70)


@bad("latency")
def liveness__too_late_in_calm_between_two_faults() -> Book:
    book = talk()
    book.fault(4, 5)
    book.say(20, "ann", "late", to=("bob",))
    book.copy("show", 60, "cid", "late", 4)
    book.fault(100, 101)
    return book.read_back(150)


@good
def late_behind_a_fault_that_came_between() -> Book:
    book = talk()
    book.say(20, "ann", "late", to=("bob",))
    book.copy("show", 60, "cid", "late", 4)
    book.fault(20.1, 45)
    book.fault(100, 101)
    return book.read_back(150)


@bad()
def receipts__stop() -> Book:
    book = talk()
    told_of_all(book)
    book.say(10, "ann", "anybody?")
    return book.read_back(60)


@bad()
def receipts__of_a_user_excused_by_a_device_of_the_same_name() -> Book:
    book = talk()
    book.add("device", 0, device="bob", user="cid")
    book.add("online", 0, device="bob")
    for n, t in enumerate((1.1, 2.1, 3.01)):
        book.add("show", t, device="bob", **book.said[n])
    book.add("receipt", 3.04, device="ann-1", conv="room", seq=3, kind="read", by="bob")
    told_of_all(book)
    for message in book.said:
        book.add("final", 60, device="bob", **message)
    book.add("final_done", 60, device="bob", conv="room", head=3)
    return book.read_back(60)


@bad()
def gaps_forks__one_number_two_changes() -> Book:
    book = talk(Book(outsiders=("eve", "fay")))
    for user in ("eve", "fay"):
        book.member(4, user, seq=4)
        book.add("final_done", 60, device=f"{user}-1", conv="room", head=4)
    return book.read_back(60)


@bad()
def gaps_forks__a_removal_with_number_0() -> Book:
    book = talk()
    book.member(4, "cid", "remove", seq=0)
    return book.read_back(60)


@bad()
def leaks__a_message_of_who_is_no_member() -> Book:
    book = talk()
    book.member(4, "cid", "remove", seq=4)
    book.fault(4.5, 5.5)
    book.say(5, "cid", "I am still here", acked=False, to=("ann", "bob"))
    book.read_back(60, who=("cid",), lacking={"cid": ("I am still here",)}, head=4)
    return book.read_back(60, who=("ann", "bob"))


@bad()
def phantoms__one_message_two_contents() -> Book:
    book = talk()
    again = next(line for line in book.lines if line["e"] == "send" and line["msg"] == "news")
    book.lines.append({**again, "t": ns(3.01), "hash": "#other"})
    return book.read_back(60)


@bad()
def phantoms__under_a_wrong_name() -> Book:
    book = talk()
    for line in book.lines:
        if line["e"] == "show":
            line["author"] = "bob"
    return book.read_back(60)


@bad()
def phantoms__an_edit_of_nothing() -> Book:
    book = talk()
    book.add("edit", 5, device="ann-1", conv="room", seq=4, of="nothing")
    book.seqs["room"] = 4
    return book.read_back(60)


@good
def authors_edits_and_reactions() -> Book:
    book = talk()
    for line in book.lines:
        if line["e"] in ("wire", "show"):
            line["author"] = "bob" if line["msg"] == "hi" else "ann"
    book.add("edit", 5, device="ann-1", conv="room", seq=4, of="news", hash="#better news", author="ann")
    book.add("reaction", 6, device="bob-1", conv="room", seq=5, of=3)
    book.add("reaction", 6.5, device="cid-1", conv="room", seq=5, of=3)
    book.add("delete", 7, device="bob-1", conv="room", seq=6, of="hi")
    book.seqs["room"] = 6
    book.read_back(60, lacking=dict.fromkeys(("ann", "bob", "cid"), ("hi",)))
    for line in book.lines:
        if line["e"] == "final" and line["msg"] == "news":
            line["hash"] = "#better news"
    return book


@bad("gaps_forks")
def phantoms__another_content_than_it_was_edited_to() -> Book:
    book = talk()
    book.add("edit", 5, device="ann-1", conv="room", seq=4, of="hi", hash="#better")
    book.seqs["room"] = 4
    book.read_back(60)
    next(line for line in book.lines if line["e"] == "final" and line["msg"] == "hi")["hash"] = "#worse"
    return book
