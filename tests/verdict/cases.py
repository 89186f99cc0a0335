"""Small histories by hand with the verdict they must get: one correct one for each situation, one for each anomaly,
one for each reason to doubt.

`python -m tests.verdict.cases` writes them to tests/verdict/histories/{good,bad,unknown}/NAME.jsonl, with what each
must be judged in index.json, for `petrel verify --history`. The name of a bad one begins with the check that finds it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.verdict.book import Book

DIRECTORY = Path(__file__).parent / "histories"


class Case(NamedTuple):
    """A history and what it is: the checks that are not valid, with their verdicts."""

    name: str
    verdict: str
    checks: dict[str, str]
    write: Callable[[], Book]

    @property
    def folder(self) -> str:
        """Where its file is."""
        return {"valid": "good", "invalid": "bad", "unknown": "unknown"}[self.verdict]

    def text(self) -> str:
        """The file."""
        return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in self.write().lines)


CASES: dict[str, Case] = {}
Write = Callable[[], Book]


def good(write: Write) -> Write:
    """All checks valid."""
    CASES[write.__name__] = Case(write.__name__, "valid", {}, write)
    return write


def bad(*also: str, doubt: tuple[str, ...] = ()) -> Callable[[Write], Write]:
    """The check that the name begins with is invalid, `also` others; `doubt`: those that are unknown."""

    def register(write: Write) -> Write:
        name = write.__name__.replace("__", ".", 1)
        checks = dict.fromkeys((name.split(".")[0], *also), "invalid") | dict.fromkeys(doubt, "unknown")
        CASES[name] = Case(name, "invalid", checks, write)
        return write

    return register


def unknown(*also: str) -> Callable[[Write], Write]:
    """The check that the name begins with is unknown, and `also` others."""

    def register(write: Write) -> Write:
        name = write.__name__.replace("__", ".", 1)
        CASES[name] = Case(name, "unknown", dict.fromkeys((name.split(".")[0], *also), "unknown"), write)
        return write

    return register


def talk(book: Book | None = None) -> Book:
    """Three messages, everything right."""
    book = book or Book()
    book.say(1, "ann", "hello")
    book.say(2, "bob", "hi")
    book.say(3, "ann", "news")
    return book


# --- correct ---------------------------------------------------------------------------------------------------------


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
    book.say(4, "bob", "ack lost", acked=False)
    book.copy("show", 4.05, "bob", "ack lost", 4)
    return book.read_back(60)


@good
def no_answer_and_nowhere() -> Book:
    book = talk()
    book.invoke(4, "bob", "never taken")
    return book.read_back(60)


@good
def refused_and_nowhere() -> Book:
    book = talk()
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
def one_of_our_runs() -> Book:
    book = Book()
    book.own(until=40, min_acked=4, min_deliveries=8)
    book.add("plan", 0, fault="f1", name="crash", target="gateway-1", at_s=9, for_s=5)
    book.fault(10, 15, fault="f1")
    for n, t in enumerate((2, 5, 12, 20, 25, 30)):
        book.say(t, "ann", f"m{n}")
    return book.read_back(81)


# --- acked_lost, indeterminate, session ------------------------------------------------------------------------------


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


@bad()
def indeterminate__half_delivered() -> Book:
    book = talk()
    book.invoke(4, "bob", "half")
    book.read_back(60)
    book.copy("final", 60, "ann", "half", 4)
    return book


@unknown()
def indeterminate__no_read_back_of_one_member() -> Book:
    book = Book()
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


@bad("gaps_forks", doubt=())
def session__what_was_shown_is_gone() -> Book:
    book = talk()
    book.say(4, "bob", "unanswered", acked=False)
    book.say(5, "ann", "last")
    return book.read_back(60, lacking=dict.fromkeys(("ann", "bob", "cid"), ("unanswered",)))


# --- duplicates, order, gaps_forks, phantoms -------------------------------------------------------------------------


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


@bad()
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


@bad()
def phantoms__refused_and_yet_there() -> Book:
    book = talk()
    book.say(4, "bob", "refused", acked=False)
    book.copy("show", 4.05, "bob", "refused", 4)
    book.add("nack", 4.1, device="bob-1", conv="room", msg="refused", definite=True)
    return book.read_back(60)


# --- leaks, causal ---------------------------------------------------------------------------------------------------


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


@unknown()
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


# --- catch_up, liveness, latency -------------------------------------------------------------------------------------


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
def liveness__a_broken_connection_excuses_nothing() -> Book:
    book = talk()
    book.add("offline", 4, device="cid-1", planned=False)
    book.say(5, "ann", "cut off", to=("bob",))
    return book.read_back(60)


@unknown()
def liveness__the_history_ends_too_early() -> Book:
    book = talk()
    book.say(4, "ann", "on its way", to=("bob",))
    return book.read_back(10)


@unknown()
def liveness__a_fault_never_healed() -> Book:
    book = talk()
    book.fault(5, None)
    return book.read_back(60)


@bad()
def latency__slow_deliveries() -> Book:
    book = talk()
    book.say(4, "ann", "slow", lag=0.3)
    return book.read_back(60)


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


# --- push, presence, receipts ----------------------------------------------------------------------------------------


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


@bad()
def presence__a_ghost() -> Book:
    book = talk()
    book.add("presence", 4, viewer="ann-1", user="bob", state="online")
    book.add("offline", 5, device="bob-1")
    return book.read_back(90)


@bad()
def presence__not_seen_coming_back() -> Book:
    book = talk()
    book.add("offline", 5, device="bob-1")
    book.add("presence", 6, viewer="ann-1", user="bob", state="offline")
    book.add("online", 7, device="bob-1")
    return book.read_back(90)


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


# --- vacuity ---------------------------------------------------------------------------------------------------------


@unknown()
def vacuity__nothing_sent() -> Book:
    return Book()


@unknown()
def vacuity__nothing_acked() -> Book:
    book = Book()
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
def vacuity__too_few_operations() -> Book:
    book = one_of_our_runs()
    for line in book.lines:
        if line["e"] == "meta":
            line["bounds"] = {"min_acked": 100, "min_deliveries": 8}
    return book


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


def main() -> None:
    """Write the files."""
    index = {}
    for case in CASES.values():
        path = DIRECTORY / case.folder / f"{case.name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(case.text())
        index[f"{case.folder}/{case.name}.jsonl"] = {"verdict": case.verdict, "not_valid": case.checks}
    (DIRECTORY / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
