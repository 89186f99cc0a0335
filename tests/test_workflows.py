"""The nightly of GitHub and GitLab: readable, and it calls what there is."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FILES = (".github/workflows/nightly.yml", ".gitlab-ci.yml")


@pytest.mark.parametrize("name", FILES)
def test_every_command_is_a_target_of_the_makefile(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert yaml.safe_load(text)
    called = re.findall(r"\bmake ([a-z][a-z-]*)", text)
    assert {"setup", "nightly"} <= set(called)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(called) - {"make"} <= set(targets)


@pytest.mark.parametrize("name", FILES)
def test_what_a_night_leaves_is_kept(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "runs/nights" in text and "nights.jsonl" in text and "junit.xml" in text


def test_the_budget_reaches_the_command() -> None:
    assert "--budget-min $(BUDGET_MIN)" in (ROOT / "Makefile").read_text(encoding="utf-8")
