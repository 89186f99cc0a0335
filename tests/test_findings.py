"""The form of findings/: every script can be run, states what it claims, and is listed. None of them is run here."""

import os
import re
import subprocess
from pathlib import Path

import pytest

FINDINGS = Path(__file__).resolve().parent.parent / "findings"
SCRIPTS = sorted(FINDINGS.glob("*.sh"))
STATEMENTS = ("Version:", "Guess:", "Behaviour:", "Seen:")


def header(script: Path) -> str:
    """The comment that opens the script, without its first line and the comment signs."""
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    return "\n".join(line[2:] for line in lines[1 : lines.index("set -euo pipefail")])


def test_there_are_findings() -> None:
    assert SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
class TestScript:
    def test_can_be_run(self, script: Path) -> None:
        assert os.access(script, os.X_OK)
        subprocess.run(["bash", "-n", script], check=True)

    def test_opens_with_what_it_shows_and_the_four_statements_in_order(self, script: Path) -> None:
        title, _, *rest = header(script).splitlines()
        assert title.endswith(".")
        named = [line.split()[0] for line in rest if re.match(r"[A-Z]", line)]
        assert tuple(named) == STATEMENTS

    def test_pins_what_it_installs(self, script: Path) -> None:
        text = script.read_text()
        install = re.search(r"pip\" install (?P<words>(?:[^\n]*\\\n)*[^\n]*)", text)
        assert install
        packages = [word for word in re.split(r"[\s\\']+", install["words"]) if word and not word.startswith("--")]
        assert packages
        assert all(re.fullmatch(r"[\w.\[\]-]+==[\w.]+", package) for package in packages), packages

    def test_cleans_up(self, script: Path) -> None:
        assert "work=$(mktemp -d)\ntrap 'rm -rf \"$work\"' EXIT\n" in script.read_text()

    def test_is_listed_with_its_version(self, script: Path) -> None:
        link = f"| [{script.stem}]({script.name}) |"
        rows = [line for line in (FINDINGS / "README.md").read_text().splitlines() if line.startswith(link)]
        assert len(rows) == 1
        assert len(rows[0].split(" | ")) == 5
        name, version = re.findall(r"([\w-]+) (\d[\w.]*)", rows[0].split(" | ")[1])[0]
        assert f"{name} {version}" in header(script)


def test_nothing_is_listed_that_is_not_there() -> None:
    listed = re.findall(r"\]\(([\w-]+\.sh)\)", (FINDINGS / "README.md").read_text())
    assert sorted(listed) == [script.name for script in SCRIPTS]
