"""The form of findings/: every script can be run, states what it claims, and is listed. None of them is run here."""

import os
import re
import subprocess
from pathlib import Path

import pytest

FINDINGS = Path(__file__).resolve().parent.parent / "findings"
SCRIPTS = sorted(FINDINGS.glob("*.sh"))
STATEMENTS = ("Version:", "Guess:", "Behaviour:", "Seen:")
PINNED = (
    ("pip", r"[\w.\[\]-]+==[\w.]+"),
    ("npm", r"@?[\w./-]+@\d[\w.]*"),
    ("go", r"[\w./-]+@v\d[\w.]*"),
)


def header(script: Path) -> str:
    """The comment that opens the script, without its first line and the comment signs."""
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    return "\n".join(line[2:] for line in lines[1 : lines.index("set -euo pipefail")])


def installed(text: str, client: str) -> list[str]:
    """The packages of every `"…/CLIENT" install`, which may go on over several lines."""
    calls = re.findall(rf"/{client}\" install ((?:[^\n]*\\\n)*[^\n]*)", text)
    words = [word for call in calls for word in re.split(r"[\s\\']+", call)]
    return [word for word in words if word and not word.startswith("--")]


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
        assert "pip" in {client for client, _ in PINNED if installed(text, client)}
        for client, pinned in PINNED:
            packages = installed(text, client)
            assert all(re.fullmatch(pinned, package) for package in packages), packages

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
