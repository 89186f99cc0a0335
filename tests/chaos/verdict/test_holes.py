"""Histories with holes: what an unrecorded membership change or an unseen death would explain is not proven."""

import pytest

from tests.chaos.verdict import cases
from tests.chaos.verdict.book import ns
from tests.chaos.verdict.help import Line, run

HOLE: Line = {"e": "hole", "t": ns(5), "process": "worker-1", "detail": "killed"}


def test_a_loss_that_a_removal_would_explain_is_not_proven_in_a_history_with_holes() -> None:
    book = cases.talk()
    book.read_back(60, who=("ann", "cid"))
    book.read_back(60, who=("bob",), lacking={"bob": ("news",)}, head=2)
    assert run("acked_lost", book.lines).verdict == "invalid"
    assert run("acked_lost", [*book.lines, HOLE]).verdict == "unknown"


@pytest.mark.parametrize(
    "case", ["acked_lost.one_member_lacks_it", "acked_lost.nobody_has_it", "acked_lost.the_log_ends_before_it"]
)
def test_a_loss_that_nothing_explains_is_proven_all_the_same(case: str) -> None:
    assert run("acked_lost", [*cases.CASES[case].write().lines, HOLE]).verdict == "invalid"


def test_half_delivered_is_not_proven_where_a_removal_would_explain_it() -> None:
    book = cases.talk()
    book.invoke(4, "bob", "half")
    book.read_back(60)
    book.copy("final", 60, "ann", "half", 4)
    book.copy("final", 60, "cid", "half", 4)
    for line in book.lines:
        if line["e"] == "final_done" and line["device"] != "bob-1":
            line["head"] = 4
    assert run("indeterminate", book.lines).verdict == "invalid"
    assert run("indeterminate", [*book.lines, HOLE]).verdict == "unknown"


def test_a_leak_that_an_add_would_explain_is_not_proven() -> None:
    lines = cases.CASES["leaks.an_outsider_reads"].write().lines
    assert run("leaks", [*lines, HOLE]).verdict == "unknown"


def test_a_missing_number_is_proven_if_there_is_a_message_with_it() -> None:
    lines = cases.CASES["acked_lost.one_member_lacks_it"].write().lines
    assert run("gaps_forks", [*lines, HOLE]).verdict == "invalid"


@pytest.mark.parametrize("check", ["phantoms", "duplicates", "order"])
def test_a_hole_does_not_excuse(check: str) -> None:
    named = [case for case in cases.CASES.values() if case.name.startswith(f"{check}.")]
    assert named
    for case in named:
        assert run(check, [*case.write().lines, HOLE]).verdict == "invalid"


def test_devices_of_a_process_that_died_owe_nothing_after_their_last_event() -> None:
    lines = cases.CASES["liveness.never_shown"].write().lines
    assert run("liveness", lines).verdict == "invalid"
    assert run("liveness", [*lines, HOLE]).verdict == "unknown"
    late = {"e": "wire", "t": ns(50), "device": "cid-1", "conv": "room", "seq": 1, "msg": "hello", "hash": "#hello"}
    assert run("liveness", [*lines, HOLE, late]).verdict == "invalid", "it lived, and its final has the message"


def test_catching_up_in_a_history_with_holes() -> None:
    never = cases.timing.away_and_back(None)
    alive = {"e": "ack", "t": ns(50), "device": "bob-1", "conv": "room", "msg": "own", "seq": 9}
    lines = [*never.lines, alive, HOLE]
    assert run("catch_up", lines).verdict == "unknown", "he may have been removed"
    assert run("catch_up", [*lines, *never.read_back(60).lines[-9:]]).verdict == "invalid"
    assert run("catch_up", [*cases.timing.away_and_back(21).lines, alive, HOLE]).verdict == "invalid"


def test_a_push_to_somebody_who_may_have_been_removed_is_not_missing() -> None:
    book = cases.timing.pushes((2, "bob-1", 1))  # to somebody else
    for line in book.lines:
        if line["e"] == "push":
            line["device"] = "eve-1"
    removed = [line for line in book.lines if not (line["e"] in ("show", "final") and line["device"] == "cid-1")]
    assert run("push", removed).verdict == "invalid"
    assert run("push", [*removed, HOLE]).verdict == "unknown"
    assert run("push", [*book.lines, HOLE]).verdict == "invalid", "it has the message, so it was there"


def test_of_somebody_whose_device_may_have_died_there_is_no_state() -> None:
    book = cases.talk()
    book.add("presence", 4, viewer="ann-1", user="bob", state="online")
    book.say(80, "ann", "still there?", to=("cid",))
    book.read_back(90)
    assert run("presence", [*book.lines, HOLE]).verdict == "valid"
    ghost = cases.CASES["presence.a_ghost"].write()
    ghost.say(80, "ann", "still there?", to=("cid",))
    assert run("presence", ghost.lines).verdict == "invalid"


def test_a_receipt_by_somebody_whose_add_may_be_unrecorded_is_not_judged() -> None:
    lines = cases.CASES["receipts.from_somebody_who_is_no_member"].write().lines
    assert run("receipts", [*lines, HOLE]).verdict == "valid"
