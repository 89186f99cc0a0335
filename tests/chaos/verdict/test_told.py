"""What a verdict tells beside its checks: kinds it did not know, what a meta line asks for, nothing unprintable."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.verdict.judge import judge
from chaos.verdict.model import encode, printable
from tests.chaos.verdict import cases
from tests.chaos.verdict.cases import DIRECTORY
from tests.chaos.verdict.help import Line, history_of

REPORTED = DIRECTORY / "reported"


def verify(path: Path) -> tuple[str, dict]:
    """What people see of `petrel verify`, and what machines read."""
    command = [sys.executable, "-m", "chaos.cli", "verify", "--json", "--history", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr, json.loads(done.stdout.splitlines()[-1])


def test_unknown_kinds_are_told_with_their_number() -> None:
    seen, verdict = verify(REPORTED / "misspelled_kind.jsonl")
    assert verdict["unknown_kinds"] == {"shown": 3}
    (note,) = (line for line in seen.splitlines() if line.startswith("note: "))
    assert note == "note: 3 lines of the unknown kind 'shown' not judged; perhaps 'show' is meant"


def test_a_kind_that_resembles_none_changes_no_verdict() -> None:
    lines = cases.talk().read_back(60).lines
    lines += [{"e": "typing", "t": 1}, {"e": "typing", "t": 2}, {"e": "cpu", "t": "now"}]
    verdict = judge(history_of(lines))
    assert verdict.verdict == "valid"
    assert verdict.unknown_kinds == {"cpu": 1, "typing": 2}
    assert verdict.notes[0] == "1 line of the unknown kind 'cpu' not judged"


def test_many_unknown_kinds_are_told_together() -> None:
    lines: list[Line] = [{"e": f"kind {n} {'x' * 100}", "t": 1} for n in range(500)]
    kinds = judge(history_of(lines)).unknown_kinds
    assert sum(kinds.values()) == 500
    assert len(kinds) <= 101
    assert max(len(kind) for kind in kinds) <= 40


def test_what_is_there_is_believed_though_a_kind_is_misspelled() -> None:
    book = cases.CASES["duplicates.shown_twice"].write()
    book.add("shown", 5)
    assert judge(history_of(book.lines)).verdict == "invalid"


def test_a_foreign_meta_line_is_obeyed_and_what_it_leaves_out_is_told() -> None:
    lines = cases.CASES["liveness.never_shown"].write().lines
    meta: Line = {"e": "meta", "t": 0, "checks": ["order", "vacuity"], "bounds": {"latency_ms": 1000, "push_s": 1}}
    verdict = judge(history_of([*lines, meta]))
    assert verdict.verdict == "valid"
    left_out, looser = verdict.notes
    assert left_out.startswith("not judged, as the meta line names other checks: acked_lost, ")
    assert "liveness" in left_out
    assert looser == "the meta line sets latency_ms to 1000; usual is 200"


def test_a_foreign_meta_line_with_one_bound_leaves_the_others_as_they_are() -> None:
    lines = cases.talk().read_back(60).lines
    assert judge(history_of([*lines, {"e": "meta", "bounds": {"latency_ms": 100}}])).verdict == "valid"
    tight = judge(history_of([*lines, {"e": "meta", "bounds": {"latency_ms": 40}}]))
    assert [check.name for check in tight.checks if check.verdict == "invalid"] == ["latency"]
    assert tight.notes == ()


@pytest.mark.parametrize("field", ["device", "user", "conv", "msg"])
def test_nothing_unprintable_reaches_a_terminal(field: str) -> None:
    evil = "\x1b[31m\u202e\x07\r\n"
    book = cases.CASES["acked_lost.one_member_lacks_it"].write()
    for line in book.lines:
        if field in line:
            line[field] = evil + str(line[field])
    book.fault(70, 71, fault=evil)
    book.add("hole", 72, process=evil, detail=evil)
    verdict = judge(history_of([*book.lines, {"e": evil, "t": 1}, {"e": "meta", "experiment": evil}]))
    texts = [check.detail for check in verdict.checks] + list(verdict.notes) + list(verdict.unknown_kinds)
    texts += [example.text for check in verdict.checks for example in check.counterexamples]
    texts += [fault.evidence + fault.name + fault.target for fault in verdict.faults] + [verdict.experiment]
    assert all(text.isprintable() for text in texts)
    assert b"\x1b" not in encode(verdict)


def test_a_terminal_sees_no_escape_of_a_history() -> None:
    seen, verdict = verify(REPORTED / "escape_in_an_id.jsonl")
    assert "\x1b[31mx" not in seen
    assert r"\x1b[31mx" in seen
    example = next(check for check in verdict["checks"] if check["name"] == "acked_lost")["counterexamples"][0]
    assert example["conv"] == "\x1b[31mx", "the JSON has the id as it is"


def test_printable() -> None:
    assert printable("plain ü text") == "plain ü text"
    assert printable("a\tb\x00\u2028") == r"a\tb\x00\u2028"


@pytest.mark.parametrize("name", ["due_after_the_send", "answered_before_asked", "due_an_hour_ahead"])
def test_no_latency_is_negative(name: str) -> None:
    _, verdict = verify(REPORTED / f"{name}.jsonl")
    for part in verdict["latency_ms"].values():
        assert all(part[key] >= 0 for key in ("p50", "p99", "p999", "max"))


def test_ids_as_number_and_as_text_are_named() -> None:
    _, verdict = verify(REPORTED / "number_and_text.jsonl")
    assert verdict["verdict"] == "unknown"
    vacuity = next(check for check in verdict["checks"] if check["name"] == "vacuity")
    assert 'user 10 and "10" are two' in vacuity["detail"]
