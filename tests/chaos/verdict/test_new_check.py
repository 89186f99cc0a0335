"""A check is one file: what it says of itself, and a new one that nothing else names."""

import json
from pathlib import Path

import pytest

from chaos.verdict.checks import CHECKS, DESCRIPTIONS, chosen, describe
from tests.kit.copied import copy_project, python

NEW = '''"""silence: somebody says something.

Guarantee: the history has a send. Anomaly: a swarm
that is mute.

    {"e":"online","t":1,"device":1}
    {"e":"offline","t":2,"device":1}

Decisions. None.
"""

from chaos.verdict.finding import Finding
from chaos.verdict.history.history import History
from chaos.verdict.model import Counterexample
from chaos.verdict.relations.facts import facts_of

RANK = 75


def check(history: History) -> Finding:
    """Judge."""
    if facts_of(history).sends.height:
        return Finding(name="silence", verdict="valid", detail="somebody spoke")
    mute = (Counterexample(text="nobody sent anything"),)
    return Finding(name="silence", verdict="invalid", detail="mute", counterexamples=mute, anomalies=1)
'''
CASE = '{"e":"online","t":1,"device":1}\n{"e":"offline","t":2,"device":1}\n'


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with one more check, and a case for it."""
    root = copy_project(tmp_path_factory.mktemp("project"))
    (root / "chaos" / "verdict" / "checks" / "silence.py").write_text(NEW)
    (root / "silence.jsonl").write_text(CASE)
    return root


def test_a_new_check_is_one_file(copy: Path) -> None:
    code = "from chaos.cli.checks import checks; raise SystemExit(checks(as_json=True))"
    told = python(copy, "-c", code)
    assert told.returncode == 0, told.stderr
    names = [check["name"] for check in json.loads(told.stdout)]
    assert names[names.index("silence") - 1] == "leaks", "RANK is the place"
    judged = python(copy, "-m", "chaos.cli", "verify", "--json", "--history", "silence.jsonl")
    assert judged.returncode == 1, judged.stderr
    checks = {check["name"]: check for check in json.loads(judged.stdout.splitlines()[-1])["checks"]}
    assert checks["silence"]["counterexamples"][0]["text"] == "nobody sent anything"


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_says_what_it_guarantees(name: str) -> None:
    told = DESCRIPTIONS[name]
    assert told.name == name
    assert told.guarantee
    assert told.anomaly
    assert 2 <= len(told.example) <= 3
    assert "Decisions" not in " ".join(told.example)


def test_a_docstring_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="docstring of a check"):
        describe("silence: somebody says something.\n\nGuarantee: it does.\n\n    {}\n")


def test_a_choice_of_checks() -> None:
    assert chosen() == tuple(CHECKS)
    assert chosen(["order", "acked_lost"]) == ("acked_lost", "order")
    assert chosen(without=["latency"]) == tuple(name for name in CHECKS if name != "latency")
    with pytest.raises(KeyError, match="orders"):
        chosen(without=["orders"])


def test_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from chaos.cli.checks import checks

    monkeypatch.delenv("COLUMNS", raising=False)  # a terminal's width would fold lines
    assert checks(as_json=False) == 0
    printed = capsys.readouterr().out
    assert "acked_lost: an acknowledged message is still stored." in printed
    assert all(line == line.rstrip() for line in printed.splitlines())
