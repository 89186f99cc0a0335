"""Each claim of the threat model names the test that holds it, and that test is there."""

import re
from pathlib import Path

from tests.docs.pages import ROOT

PAGE = ROOT / "docs/security.md"
TEST = re.compile(r"`((?:[a-z_]+/)*test_[a-z0-9_]+\.py)`")
WITHOUT_CLAIMS = ("What is worth protecting", "Not covered")
FILES = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]


def claims(text: str) -> list[str]:
    """The items of lists and the rows of tables, without those of sections that claim nothing."""
    found: list[str] = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        if title in WITHOUT_CLAIMS:
            continue
        found += [" ".join(item.split()) for item in re.findall(r"^- .*(?:\n  .*)*", body, re.MULTILINE)]
        rows = re.findall(r"^\|.*\|$", body, re.MULTILINE)
        found += rows[2:]
    return found


def files_of(name: str) -> list[str]:
    return [file for file in FILES if file.endswith(f"/{name}") or file == name]


def without_a_test(text: str) -> list[str]:
    return [claim for claim in claims(text) if not TEST.search(claim)]


def not_one_file(text: str) -> list[str]:
    return sorted({name for name in TEST.findall(text) if len(files_of(name)) != 1})


def test_each_claim_names_a_test() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(claims(text)) > 30
    assert not without_a_test(text)


def test_each_test_that_is_named_is_one_file() -> None:
    assert not not_one_file(PAGE.read_text(encoding="utf-8"))


def test_a_claim_without_a_test_and_a_test_that_is_not_there_are_found() -> None:
    text = "# T\n\n## Limits\n| what | then |\n|---|---|\n| a (`test_a.py`) | b |\n| c | d |\n\n"
    text += "- e\n  f (`test_rule.py`)\n- g\n"
    assert without_a_test(text) == ["- g", "| c | d |"]
    assert not_one_file(text) == ["test_a.py"]
    assert without_a_test("## Not covered\n- h\n") == []
    assert len(files_of("test_limits.py")) > 1, "a name that is there twice needs its folder"
    assert Path(ROOT / files_of("gateway/test_limits.py")[0]).is_file()
