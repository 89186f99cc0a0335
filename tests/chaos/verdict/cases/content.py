"""What is kept, shown and read is wrong."""

from tests.chaos.verdict.book import Book, ns
from tests.chaos.verdict.cases.registry import bad, talk, unknown


@bad("gaps_forks", "session")
def acked_lost__one_member_lacks_it() -> Book:
    return talk().read_back(60, lacking={"bob": ("hi",)})


@bad("gaps_forks", "session")
def acked_lost__nobody_has_it() -> Book:
    return talk().read_back(60, lacking=dict.fromkeys(("ann", "bob", "cid"), ("hi",)))


@bad("session")
def acked_lost__the_log_ends_before_it() -> Book:
    return talk().read_back(60, lacking=dict.fromkeys(("ann", "bob", "cid"), ("news",)), head=2)


@bad()
def acked_lost__a_device_that_was_away_lacks_it() -> Book:
    book = Book()
    book.add("offline", 0.5, device="cid-1")
    book.say(1, "ann", "hello", to=("bob",))
    book.read_back(60, who=("ann", "bob"))
    book.add("final_done", 60, device="cid-1", conv="room", head=0)
    return book


@bad("duplicates", "gaps_forks", "session")
def acked_lost__kept_under_another_number() -> Book:
    book = talk()
    book.said[-1]["seq"] = 4
    return book.read_back(60, head=4)


@unknown("session")
def acked_lost__no_read_back_of_one_member() -> Book:
    return talk().read_back(60, who=("ann", "bob"))


@unknown("session", "leaks")
def acked_lost__no_members_known() -> Book:
    book = talk()
    book.lines = [line for line in book.lines if line["e"] != "member"]
    return book


@unknown()
def acked_lost__a_device_without_a_user() -> Book:
    book = talk().read_back(60)
    book.add("final_done", 60, device="eve-1", conv="room", head=3)
    return book


@bad("answers")
def indeterminate__half_delivered() -> Book:
    book = talk()
    book.invoke(4, "bob", "half")
    book.read_back(60)
    book.copy("final", 60, "ann", "half", 4)
    return book


@unknown()
def indeterminate__no_read_back_of_one_member() -> Book:
    book = Book()
    book.fault(3.5, 4.5)
    book.invoke(4, "bob", "half")
    book.add("offline", 0.5, device="cid-1")
    book.add("offline", 0.5, device="ann-1")
    book.copy("final", 60, "bob", "half", 1)
    book.add("final_done", 60, device="bob-1", conv="room", head=1)
    book.say(1, "bob", "elsewhere", conv="notes", to=())
    book.member(0, "bob", conv="notes")
    book.add("final", 60, device="bob-1", **book.said[-1])
    book.add("final_done", 60, device="bob-1", conv="notes", head=1)
    return book


@unknown()
def indeterminate__nowhere_as_far_as_was_read() -> Book:
    book = talk()
    for person in ("ann", "bob"):
        book.member(0, person, conv="notes")
    book.fault(3.5, 4.5)
    book.invoke(4, "bob", "half", conv="notes")
    book.read_back(60)
    book.lines.remove({"e": "final_done", "t": ns(60), "device": "ann-1", "conv": "notes", "head": 0})
    return book


@bad("gaps_forks")
def session__what_was_shown_is_gone() -> Book:
    book = talk()
    book.fault(3.5, 4.5)
    book.say(4, "bob", "unanswered", acked=False)
    book.say(5, "ann", "last")
    return book.read_back(60, lacking=dict.fromkeys(("ann", "bob", "cid"), ("unanswered",)))


@bad()
def duplicates__shown_twice() -> Book:
    book = talk()
    book.copy("show", 9, "bob", "news", 3)
    return book.read_back(60)


@bad()
def duplicates__a_retry_taken_for_a_new_message() -> Book:
    book = talk()
    book.said.append({**book.said[-1], "seq": 4})
    book.seqs["room"] = 4
    return book.read_back(60)


@bad("acked_lost", "session")
def duplicates__acked_under_two_numbers() -> Book:
    book = talk()
    book.add("ack", 4, device="ann-1", conv="room", msg="news", seq=4)
    return book.read_back(60)


@bad()
def order__shown_out_of_order() -> Book:
    book = Book()
    book.say(1, "ann", "first")
    book.say(1.01, "bob", "second", to=("ann",))
    book.copy("show", 1.04, "cid", "second", 2)
    return book.read_back(60)


@bad(doubt=("liveness",))
def order__a_senders_messages_swapped() -> Book:
    book = Book(online=False)
    book.invoke(1, "ann", "first")
    book.invoke(1.01, "ann", "second")
    for msg, seq in (("second", 1), ("first", 2)):
        book.add("ack", 1 + seq / 10, device="ann-1", conv="room", msg=msg, seq=seq)
        book.said.append({"conv": "room", "seq": seq, "msg": msg, "hash": f"#{msg}"})
    book.seqs["room"] = 2
    return book.read_back(2)


@bad(doubt=("liveness",))
def order__numbered_below_what_was_acked_before() -> Book:
    book = Book(online=False)
    book.say(1, "ann", "first", seq=2, to=())
    book.say(2, "bob", "second", seq=1, to=())
    return book.read_back(3)


@bad("acked_lost", doubt=("liveness",))
def gaps_forks__one_number_two_messages() -> Book:
    book = Book(online=False)
    book.say(1, "ann", "mine", seq=1, to=())
    book.say(1, "bob", "yours", seq=1, to=())
    book.read_back(2, lacking={"ann": ("yours",), "bob": ("mine",), "cid": ("mine",)})
    return book


@bad("phantoms")
def gaps_forks__one_message_two_contents() -> Book:
    book = talk().read_back(60)
    book.lines[-2]["hash"] = "#changed"
    return book


@bad()
def gaps_forks__a_number_that_nobody_has() -> Book:
    book = talk()
    book.say(4, "bob", "five", seq=5)
    return book.read_back(60)


@bad()
def gaps_forks__the_head_is_beyond_what_is_there() -> Book:
    return talk().read_back(60, head=4)


@bad("leaks", "acked_lost", "session")
def gaps_forks__a_message_at_the_number_of_a_change() -> Book:
    book = Book(("ann", "bob"), outsiders=("cid",))
    book.say(1, "ann", "hello")
    book.member(2, "bob", "remove", seq=2)
    book.say(3, "ann", "clash", seq=2)
    return book.read_back(60, lacking={"ann": ("clash",)}, who=("ann", "bob"))


@bad("session")
def phantoms__never_sent() -> Book:
    book = talk()
    book.copy("wire", 4, "bob", "ghost", 4)
    book.copy("show", 4, "bob", "ghost", 4)
    return book.read_back(60)


@bad()
def phantoms__sent_in_another_conversation() -> Book:
    book = talk()
    book.member(0, "ann", conv="other")
    book.member(0, "bob", conv="other")
    book.seqs["other"] = 0
    book.copy("wire", 3.5, "bob", "news", 1, conv="other")
    return book.read_back(60)


@bad("gaps_forks")
def phantoms__changed_on_the_way() -> Book:
    book = talk()
    book.copy("wire", 3.5, "bob", "news", 3, hash="#fake")
    return book.read_back(60)


@bad("answers")
def phantoms__refused_and_yet_there() -> Book:
    book = talk()
    book.say(4, "bob", "refused", acked=False)
    book.copy("show", 4.05, "bob", "refused", 4)
    book.add("nack", 4.1, device="bob-1", conv="room", msg="refused", definite=True)
    return book.read_back(60)


@bad()
def leaks__an_outsider_reads() -> Book:
    book = talk(Book(outsiders=("eve",)))
    book.copy("wire", 3.5, "eve", "news", 3)
    return book.read_back(60)


@bad()
def leaks__read_after_the_removal() -> Book:
    book = talk()
    book.member(4, "cid", "remove", seq=4)
    book.say(5, "ann", "secret", to=("bob",))
    book.copy("wire", 5.1, "cid", "secret", 5)
    return book.read_back(60, who=("ann", "bob")).read_back(60, who=("cid",), lacking={"cid": ("secret",)}, head=4)


@bad()
def leaks__read_before_the_add() -> Book:
    book = talk(Book(outsiders=("eve",)))
    book.member(4, "eve", seq=4)
    book.copy("final", 60, "eve", "news", 3)
    book.add("final_done", 60, device="eve-1", conv="room", head=4)
    return book.read_back(60)


@unknown("acked_lost")
def leaks__a_device_without_a_user() -> Book:
    book = talk()
    book.copy("wire", 3.5, "somebody", "news", 3)
    return book.read_back(60)


@bad()
def causal__the_answer_before_the_question() -> Book:
    book = Book()
    for person in book.people:
        book.member(0, person, conv="side")
    book.say(1, "ann", "question", to=("bob",))
    book.say(2, "bob", "answer", conv="side")
    book.copy("show", 2.5, "cid", "question", 1)
    book.say(0.2, "ann", "noise", conv="side", seq=2, to=())
    book.lines = [line for line in book.lines if line.get("msg") != "noise"]
    book.said.pop()
    book.seqs["side"] = 1
    for n in range(120):  # so that one late display is less than a percent
        book.say(20 + n / 10, "bob", f"m{n}")
    return book.read_back(60)
