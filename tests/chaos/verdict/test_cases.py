"""The hand-made histories: each judged as its index says, and the files still what the cases write."""

import json

import pytest

from chaos.verdict.checks import CHECKS
from chaos.verdict.history.history import load_jsonl
from chaos.verdict.judge import exit_status, judge
from tests.chaos.verdict.cases import CASES, DIRECTORY

INDEX = json.loads((DIRECTORY / "index.json").read_text())
CANNOT_BE_UNKNOWN = {"duplicates", "order", "phantoms", "causal", "push", "presence", "receipts"}


@pytest.mark.parametrize("name", INDEX)
def test_history_is_judged_as_it_must(name: str) -> None:
    verdict = judge(load_jsonl(DIRECTORY / name))
    found = {check.name: check.verdict for check in verdict.checks if check.verdict != "valid"}
    assert found == INDEX[name]["not_valid"]
    assert verdict.verdict == INDEX[name]["verdict"]
    assert exit_status(verdict) == {"valid": 0, "invalid": 1, "unknown": 2}[verdict.verdict]
    for check in verdict.checks:
        assert check.detail
        assert (check.verdict == "invalid") <= bool(check.counterexamples)


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_file_is_what_the_case_writes(case) -> None:
    assert (DIRECTORY / case.folder / f"{case.name}.jsonl").read_text() == case.text(), (
        "run: python -m tests.chaos.verdict.cases"
    )


def test_every_file_is_in_the_index() -> None:
    there = {path.relative_to(DIRECTORY).as_posix() for path in DIRECTORY.rglob("*.jsonl")}
    assert there == set(INDEX)


@pytest.mark.parametrize("check", CHECKS)
def test_every_check_has_something_to_find_and_to_doubt(check: str) -> None:
    verdicts = [case["not_valid"].get(check, "valid") for case in INDEX.values()]
    assert "valid" in verdicts
    assert verdicts.count("invalid") >= (2 if check not in ("vacuity", "causal", "indeterminate", "clocks") else 0)
    assert "unknown" in verdicts or check in CANNOT_BE_UNKNOWN | {"catch_up"}  # catch_up: with holes, see test_holes
