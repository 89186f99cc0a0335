"""Corners of the definitions that the small histories do not reach: stays by number, faults and their recovery,
the sum of it all.
"""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.verdict.checks import CHECKS
from chaos.verdict.history.history import HistoryError
from chaos.verdict.judge import judge
from chaos.verdict.model import Counts, Recovery, encode, total
from chaos.verdict.percentiles import summarise
from chaos.verdict.relations.facts import facts_of
from chaos.verdict.relations.windows import pair
from chaos.verdict.story import story, story_of
from load.history.control import Fault
from tests.chaos.verdict import cases
from tests.chaos.verdict.book import Book, ns
from tests.chaos.verdict.help import Line, history_of, run

# --- membership -------------------------------------------------------------------------------------------------------


def spans(*changes: tuple[str, int]) -> list[tuple[int, int]]:
    lines = [{"e": "member", "t": 1, "conv": 1, "user": 1, "op": op, "seq": seq} for op, seq in changes]
    random.Random(1).shuffle(lines)
    found = facts_of(history_of(lines)).spans.sort("first")
    return [(first, min(last, 99)) for first, last in found.select("first", "last").rows()]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("add", 0)], [(0, 99)]),
        ([("add", 0), ("remove", 4)], [(0, 4)]),
        ([("add", 0), ("remove", 4), ("add", 7), ("remove", 9)], [(0, 4), (7, 9)]),
        ([("add", 3), ("add", 5)], [(3, 99)]),
        ([("add", 3), ("add", 3)], [(3, 99)]),
        ([("remove", 2), ("add", 3)], [(3, 99)]),
        ([("add", 0), ("remove", 4), ("remove", 6), ("add", 8)], [(0, 4), (8, 99)]),
        ([("remove", 2)], []),
        ([], []),
    ],
)
def test_stays_by_number(changes: list[tuple[str, int]], expected: list[tuple[int, int]]) -> None:
    assert spans(*changes) == expected


def test_a_change_that_many_recorded_is_one_change() -> None:
    book = Book(("ann", "bob"), outsiders=("cid",))
    for t in (0, 0.1, 0.2):
        book.member(t, "ann")
    book.member(2, "cid", seq=1)
    book.member(2.1, "cid", seq=1)
    book.say(3, "ann", "hello", to=("bob", "cid"))
    book.read_back(60)
    assert judge(history_of(book.lines)).verdict == "unknown"  # cid was not read back
    book.read_back(60, who=("cid",))
    assert judge(history_of(book.lines)).verdict == "valid"


def test_a_huge_head_costs_nothing() -> None:
    found = run("gaps_forks", cases.talk().read_back(60, head=10**15).lines)
    assert found.verdict == "invalid"
    assert found.anomalies == 3 * (10**15 - 3)
    largest = 2**61 - 1
    book = cases.talk(Book(("ann", "bob", "cid", "dan", "eve")))
    assert run("gaps_forks", book.read_back(60, head=largest).lines).anomalies == 5 * (largest - 3)


@pytest.mark.parametrize("conv", ["room", "side"])
@pytest.mark.parametrize("changes", [[], [("add", 1)], [("add", 0), ("remove", 1)]])
def test_only_members_of_both_conversations_keep_an_answer_after_its_question(
    conv: str, changes: list[tuple[str, int]]
) -> None:
    lines = cases.CASES["causal.the_answer_before_the_question"].write().lines
    cid: Line = {"e": "member", "t": ns(0), "conv": conv, "user": "cid"}
    lines.remove({**cid, "op": "add", "seq": 0})
    assert run("causal", [*lines, *({**cid, "op": op, "seq": seq} for op, seq in changes)]).verdict == "valid"


# --- faults -----------------------------------------------------------------------------------------------------------


def fault(t: float, phase: str, *, ok: bool = True, key: str = "", name: str = "crash") -> Fault:
    return Fault(t=ns(t), name=name, target="g", phase=phase, fault=key, ok=ok, evidence=f"{phase} {t:g}")


def test_pairing() -> None:
    found = pair((
        fault(9, "heal"), fault(5, "inject"), fault(0.5, "heal"), fault(20, "inject"), fault(6, "inject", name="cut"),
        fault(8, "heal", name="cut", ok=False), fault(8.5, "heal", name="cut"), fault(30, "inject", key="f1", ok=False),
        fault(31, "inject", key="f1"), fault(32, "heal", key="f1"), fault(33, "heal", key="f1", ok=False),
    ))  # fmt: skip
    assert [(w.name, w.effective, w.healed, w.evidence) for w in found] == [
        ("crash", True, True, ("inject 5", "heal 9")),
        ("cut", True, True, ("inject 6", "heal 8", "heal 8.5")),
        ("crash", True, False, ("inject 20",)),
        ("crash", True, True, ("inject 30", "inject 31", "heal 32")),
    ]


@pytest.mark.parametrize(
    ("slow_until", "recovery_s", "evidence", "felt_s", "late"),
    [
        (0, 0.0, "", 2.0, 40),
        (0.9, 1.0, "", 3.0, 58),
        (3.5, 4.0, "", 6.0, 110),
        (30, None, "not recovered within 10 s", None, 240),
    ],
)
def test_recovery_is_measured(
    slow_until: float, recovery_s: float | None, evidence: str, felt_s: float | None, late: int
) -> None:
    book = Book()
    book.fault(5, 7)
    for n in range(300):
        book.say(1 + n / 10, "ann", f"m{n}", lag=0.35 if 5 <= 1 + n / 10 < 7 + slow_until else 0.05)
    history = history_of(book.read_back(90).lines)
    (result,) = judge(history).faults
    assert result.recovery_s == recovery_s
    assert evidence in result.evidence
    assert result.recovery == Recovery(felt_s=felt_s, worst_p99_ms=350, late=late, worst_ms=350)
    assert (result.injected_at_s, result.healed_at_s, result.effective, result.healed) == (5, 7, True, True)
    expected = "invalid" if recovery_s is None else "valid"
    assert CHECKS["latency"](history).verdict == expected


def test_recovery_without_anything_due_or_under_another_fault_is_not_told() -> None:
    book = Book()
    book.say(1, "ann", "before")
    book.fault(5, 7)
    (result,) = judge(history_of(book.read_back(90).lines)).faults
    assert result.recovery_s is None
    assert result.recovery == Recovery()
    assert "nothing was due" in result.evidence
    book = Book()
    book.fault(5, 7, fault="f1")
    book.fault(7.5, 20, fault="f2")
    for n in range(250):
        book.say(1 + n / 10, "ann", f"m{n}", lag=0.05 if 1 + n / 10 < 5 or n > 200 else 0.5)
    first, second = judge(history_of(book.read_back(90).lines)).faults
    assert first.recovery_s is None
    assert second.recovery_s == 2
    assert (first.recovery.felt_s, second.recovery.felt_s) == (None, 14)


def test_what_people_felt_ends_with_the_last_late_second_in_the_window() -> None:
    book = Book()
    book.fault(5, 9.5)
    for n in range(300):
        t = 1 + n / 10
        book.say(t, "ann", f"m{n}", lag=2.0 if 4.85 <= t < 5 else 0.7 if 6 <= t < 7 else 0.05)
    (result,) = judge(history_of(book.read_back(90).lines)).faults
    assert (result.recovery_s, result.recovery.felt_s) == (0, 2)
    assert (result.recovery.worst_p99_ms, result.recovery.late, result.recovery.worst_ms) == (2000, 22, 2000)


def test_what_a_later_fault_does_is_not_felt_of_the_one_before() -> None:
    book = Book()
    book.fault(5, 7, fault="f1")
    book.fault(10, 14, fault="f2")
    for n in range(300):
        t = 1 + n / 10
        stuck = (5 <= t < 9.5, 9.6) if t < 9.5 else (10 <= t < 13, 13.0)
        book.say(t, "ann", f"m{n}", lag=stuck[1] - t + (t - 1) / 1e4 if stuck[0] else 0.05)
    first, second = judge(history_of(book.read_back(90).lines)).faults
    assert (first.recovery.felt_s, second.recovery.felt_s) == (4.8, 3)
    assert first.recovery.worst_ms == pytest.approx(4600, abs=2)
    assert second.recovery.worst_ms == pytest.approx(3000, abs=2)


def test_times_of_a_planned_fault_that_never_came() -> None:
    (skipped,) = judge(history_of(cases.CASES["vacuity.the_fault_could_not_be_armed"].write().lines)).faults
    assert (skipped.injected_at_s, skipped.healed_at_s, skipped.healed) == (None, None, False)
    assert skipped.evidence == "never injected: gateway-1 is not healthy"
    (result,) = judge(history_of(cases.CASES["vacuity.never_injected"].write().lines)).faults
    assert result.injected_at_s is None
    assert not result.effective
    assert result.evidence == "never injected"


def test_a_message_on_its_way_when_the_fault_begins_is_in_its_window() -> None:
    book = cases.talk()
    book.fault(5, 6)
    book.say(4.85, "ann", "on its way", lag=1)
    assert run("latency", book.lines).verdict == "valid"
    book.say(4.7, "bob", "just before", seq=9, lag=1.5)
    assert run("latency", book.lines).verdict == "invalid"


# --- latency ----------------------------------------------------------------------------------------------------------


def test_a_planned_absence_excuses_and_a_broken_connection_does_not() -> None:
    for planned, verdict in ((True, "valid"), (False, "invalid")):
        book = cases.talk()
        book.add("offline", 4, device="cid-1", planned=planned)
        book.say(4.5, "ann", "later", to=("bob",))
        book.add("online", 5, device="cid-1")
        book.copy("show", 5.1, "cid", "later", 4)
        assert run("latency", book.lines).verdict == verdict


def test_percentiles_are_exact() -> None:
    import polars as pl

    found = summarise(pl.Series([n * 1_000_000 for n in range(1, 1001)]))
    assert (found.p50, found.p99, found.p999, found.max, found.n) == (500, 990, 999, 1000, 1000)
    one = summarise(pl.Series([1_234_567]))
    assert (one.p50, one.p999, one.n) == (1.235, 1.235, 1)
    assert summarise(pl.Series([], dtype=pl.Int64)).p99 is None


def test_steady_and_all() -> None:
    book = Book()
    book.own(until=40, min_acked=0, min_deliveries=0)
    book.fault(10, 12)
    for n in range(200):
        book.say(2 + n / 10, "ann", f"m{n}", lag=0.9 if 10 <= 2 + n / 10 < 12 else 0.05)
    latency = judge(history_of(book.read_back(90).lines)).latency_ms
    assert latency.steady.max == 50
    assert latency.all.max == 900
    assert latency.all.n == 400
    assert latency.steady.n == 400 - 2 * 22 - 2  # 2 s of fault, 200 ms before, the moment of the heal


# --- the sum ----------------------------------------------------------------------------------------------------------


def test_total() -> None:
    assert total([]) == "valid"
    assert total(["valid", "unknown", "valid"]) == "unknown"
    assert total(["unknown", "invalid", "valid"]) == "invalid"


def test_counts() -> None:
    book = cases.talk()
    book.invoke(4, "bob", "refused")
    book.add("nack", 4.01, device="bob-1", conv="room", msg="refused", definite=True)
    book.invoke(5, "bob", "open")
    for t in (5.01, 5.5):
        book.add("nack", t, device="bob-1", conv="room", msg="open", definite=False)
    book.copy("show", 6, "cid", "news", 3)
    counts = judge(history_of(book.read_back(60, lacking={"bob": ("hi",)}).lines)).counts
    assert counts == Counts(
        devices=3, sends_invoked=5, sends_acked=3, sends_failed=1, sends_indeterminate=1, deliveries_expected=6,
        deliveries=6, lost=1, duplicates=1, reordered=0, gaps=1,
        refusals=2,
    )  # fmt: skip


def test_the_json_is_the_contracts() -> None:
    data = msgspec.json.decode(encode(judge(history_of(cases.CASES["acked_lost.nobody_has_it"].write().lines))))
    assert list(data) == [
        "verdict", "experiment", "profile", "variant", "seed", "duration_s", "counts", "latency_ms", "faults", "checks",
        "unknown_kinds", "provenance", "notes",
    ]  # fmt: skip
    assert list(data["counts"]) == [
        "devices", "sends_invoked", "sends_acked", "sends_failed", "sends_indeterminate", "deliveries_expected",
        "deliveries", "lost", "duplicates", "reordered", "gaps", "phantoms", "leaks", "refusals",
    ]  # fmt: skip
    assert list(data["latency_ms"]) == ["steady", "all"]
    assert list(data["latency_ms"]["steady"]) == ["p50", "p99", "p999", "max", "n"]
    assert list(data["checks"][0]) == ["name", "verdict", "detail", "counterexamples"]
    assert data["checks"][0]["counterexamples"][0]["msg"] == "hi"
    faulty = msgspec.json.decode(encode(judge(history_of(cases.CASES["one_of_our_runs"].write().lines))))
    assert list(faulty["faults"][0]) == [
        "name", "target", "injected_at_s", "healed_at_s", "effective", "healed", "evidence", "recovery_s", "recovery",
    ]  # fmt: skip
    assert list(faulty["faults"][0]["recovery"]) == ["felt_s", "worst_p99_ms", "late", "worst_ms"]
    assert faulty["seed"] == 7
    assert faulty["faults"][0]["injected_at_s"] == 9


def test_a_run_is_judged_by_the_checks_that_it_names() -> None:
    lines = cases.CASES["causal.the_answer_before_the_question"].write().lines
    meta: Line = {"e": "meta", "t": 0, "bounds": {"min_acked": 1}, "checks": ["order", "acked_lost"]}
    verdict = judge(history_of([*lines, meta]))
    assert [check.name for check in verdict.checks] == ["acked_lost", "order"]
    assert verdict.verdict == "valid"
    assert [check.name for check in judge(history_of(lines), checks=["causal"]).checks] == ["causal"]
    with pytest.raises(HistoryError, match="'orders'"):
        judge(history_of([{**meta, "checks": ["orders"]}]))
    with pytest.raises(HistoryError, match="length >= 1"):
        judge(history_of([{**meta, "checks": []}]))


def test_an_experiment_states_the_bounds_that_the_verdict_knows() -> None:
    from chaos.run import experiment
    from load.history import control

    assert set(experiment.Bounds.__struct_fields__) == set(control.Bounds.__struct_fields__)
    told = msgspec.convert(msgspec.to_builtins(experiment.Bounds()), control.Bounds)
    assert told.min_acked == 1000
    with pytest.raises(msgspec.ValidationError, match="latency_ms is 0"):
        msgspec.convert({"latency_ms": 0}, experiment.Bounds)


# --- odd but well-formed ----------------------------------------------------------------------------------------------

IDS = st.sampled_from([1, 2, 3, "x", 1 << 70])
SEQS = st.integers(0, 4)
TIMES = st.integers(0, 40) | st.sampled_from([0, -(10**18), 2 * 10**18])
FIELDS = {
    "member": {"conv": IDS, "user": IDS, "op": st.sampled_from(["add", "remove"]), "seq": SEQS},
    "device": {"device": IDS, "user": IDS},
    "online": {"device": IDS},
    "offline": {"device": IDS, "planned": st.booleans()},
    "due_online": {"device": IDS},
    "send": {"due": TIMES, "device": IDS, "conv": IDS, "msg": IDS, "hash": IDS},
    "ack": {"device": IDS, "conv": IDS, "msg": IDS, "seq": SEQS},
    "nack": {"device": IDS, "conv": IDS, "msg": IDS, "definite": st.booleans()},
    "wire": {"device": IDS, "conv": IDS, "seq": SEQS, "msg": IDS, "hash": IDS},
    "show": {"device": IDS, "conv": IDS, "seq": SEQS, "msg": IDS, "hash": IDS},
    "final": {"device": IDS, "conv": IDS, "seq": SEQS, "msg": IDS, "hash": IDS},
    "final_done": {"device": IDS, "conv": IDS, "head": SEQS},
    "push": {"device": IDS, "conv": IDS, "seq": SEQS},
    "presence": {"viewer": IDS, "user": IDS, "state": st.sampled_from(["online", "offline", "away", True, 0])},
    "receipt": {"device": IDS, "conv": IDS, "seq": SEQS, "kind": st.sampled_from(["delivered", "read"]), "by": IDS},
    "fault": {"name": st.just("f"), "target": st.just("g"), "phase": st.sampled_from(["inject", "heal"])},
    "phase": {"name": st.sampled_from(["setup", "steady", "quiesce", "final", "end"])},
    "plan": {"fault": st.just("f1"), "name": st.just("f"), "target": st.just("g"), "at_s": SEQS, "for_s": SEQS},
    "hole": {"process": st.just("p"), "detail": st.just("d")},
    "meta": {"seed": SEQS},
}
LINES = st.sampled_from(sorted(FIELDS)).flatmap(
    lambda event: st.fixed_dictionaries({"e": st.just(event), "t": TIMES, **FIELDS[event]})
)


@settings(max_examples=50, deadline=None)
@given(lines=st.lists(LINES, max_size=40))
def test_whatever_is_well_formed_can_be_judged(lines: list[Line]) -> None:
    history = history_of(lines)
    verdict = judge(history)
    assert {check.name for check in verdict.checks} == set(CHECKS)
    assert encode(judge(history_of(reversed(lines)))) == encode(verdict)
    for check in verdict.checks:
        for example in check.counterexamples:
            story_of(history, example)


# --- stories ----------------------------------------------------------------------------------------------------------


def test_the_story_of_a_lost_message() -> None:
    history = history_of(cases.CASES["acked_lost.one_member_lacks_it"].write().lines)
    example = judge(history).checks[0].counterexamples[0]
    steps = [(step.t_s, step.device, step.text) for step in story_of(history, example)]
    assert (2.0, "bob-1", "sent message hi") in steps
    assert (2.02, "bob-1", "got the ack of message hi: number 2") in steps
    assert (2.05, "ann-1", "showed message hi as number 2") in steps
    assert (60.0, "ann-1", "read back message hi as number 2") in steps
    assert (60.0, "bob-1", "read all back, up to number 3") in steps
    assert (60.0, "bob-1", "read back message hi as number 2") not in steps
    assert [step[0] for step in steps] == sorted(step[0] for step in steps)
    assert not any("hello" in step[2] or "news" in step[2] for step in steps)


def test_a_story_by_number_tells_of_every_message_that_had_it() -> None:
    history = history_of(cases.CASES["gaps_forks.one_number_two_messages"].write().lines)
    text = " ".join(step.text for step in story(history, conv="room", seq=1))
    assert "message mine" in text
    assert "message yours" in text
    assert story(history, conv="nowhere", seq=1) == []
    assert story(history, conv="room", msg="unknown") != []  # the membership changes at least
