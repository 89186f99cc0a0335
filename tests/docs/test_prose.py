"""The prose of README and docs is plain: proselint finds nothing, sentences are short, no phrase is banned."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.docs.pages import CODE, PAGES, ROOT, blocks

MAX_WORDS = 25
README_LINES, README_COLUMNS = 150, 110
CONFIG = Path(__file__).with_name("proselint.json")
"""The checks of proselint that are made. Left out: typography (curly quotes, symbols), which Markdown does not need;
lexical_illusions, which takes the end of one cell and the begin of the next for one sentence."""
BANNED = {
    r"\bsimply\b": "leave it out",
    r"\bobviously\b": "leave it out",
    r"\bof course\b": "leave it out",
    r"\bin order to\b": "to",
    r"\butili[sz]e": "use",
    r"\bleverag": "use",
    r"\bas usual\b": "say how",
    r"\bthose of these\b": "name them",
    r"\band so on\b": "name them, or say which rule",
    r"\betc\b": "name them, or say which rule",
    r"\bwho(?:ever)? (?:it )?concerns\b": "name them",
    r"\bof somebody else's making\b": "foreign",
    r"\bstate of the art\b": "say what it does",
    r"\bseamless": "say what it does",
    r"\bblazing": "give the figure",
    r"\b(the|a|an|of|to|in|is|and|that|it|for) \1\b": "once",
}
END = re.compile(r"(?<=[.!?])[\"')*]*\s+(?=[\"'(*`A-Z0-9<])|(?<=:)\s+(?=[A-Z`])")
GENERATED = re.compile(r"<!-- generated: .*?<!-- end of ", re.DOTALL)
ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|vs|cf)\.")


def plain(text: str) -> str:
    """Prose without its marks: code becomes one word, a link its text."""
    text = CODE.sub("Code", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return ABBREVIATION.sub("such as", text.replace("**", ""))


def sentences(text: str) -> list[str]:
    """The sentences of a block."""
    return [part for part in END.split(plain(text)) if part.strip()]


def words(sentence: str) -> int:
    """How many words it has; a number or a code counts as one, a sign as none."""
    return len([word for word in sentence.split() if re.search(r"\w", word)])


def too_long(text: str) -> list[str]:
    """One line for each sentence of more than MAX_WORDS words."""
    return [
        f"line {block.line}: {count} words: {sentence}"
        for block in blocks(text)
        for sentence in sentences(block.text)
        if (count := words(sentence)) > MAX_WORDS
    ]


def banned(text: str) -> list[str]:
    """One line for each phrase that is banned."""
    return [
        f"line {block.line}: {found[0]!r}: {better}"
        for block in blocks(text)
        for phrase, better in BANNED.items()
        if (found := re.search(phrase, plain(block.text), re.IGNORECASE)) is not None
    ]


def lint(texts: Mapping[str, str], directory: Path) -> dict[str, list[str]]:
    """What proselint says of the prose of each page, by the page's name; one process for all of them."""
    pages = {name: directory / f"{name}.txt" for name in texts}
    for name, text in texts.items():
        by_hand = GENERATED.sub("", text)
        pages[name].write_text("\n\n".join(plain(block.text) for block in blocks(by_hand)), encoding="utf-8")
    command = [Path(sys.executable).parent / "proselint", "check", "--config", CONFIG, *pages.values()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode in (0, 1), done.stderr
    said = (done.stdout + done.stderr).splitlines()
    found = {name: [line.removeprefix(str(page)) for line in said if str(page) in line] for name, page in pages.items()}
    assert any(found.values()) is bool(done.returncode), "proselint says one thing and ends with another"
    return found


def name_of(path: Path) -> str:
    """A name that no other page has, and that can be a file's."""
    return path.relative_to(ROOT).as_posix().replace("/", "-")


@pytest.fixture(scope="module")
def linted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What proselint says of each of PAGES, by `name_of`."""
    return lint({name_of(path): path.read_text(encoding="utf-8") for path in PAGES}, tmp_path_factory.mktemp("pages"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_sentences_are_short(path: Path) -> None:
    assert not too_long(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_phrase_is_banned(path: Path) -> None:
    assert not banned(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_proselint_finds_nothing(path: Path, linted: dict[str, list[str]]) -> None:
    assert not linted[name_of(path)]


def test_the_readme_is_one_page() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= README_LINES
    assert not [line for line in lines if len(line) > README_COLUMNS]


def test_a_long_sentence_is_found() -> None:
    long = " ".join(["word"] * (MAX_WORDS + 1))
    assert too_long(f"{long}.\n")
    assert too_long(f"- item\n  {long}\n")
    assert too_long(f"| a | {long} |\n")
    assert too_long(f"{' '.join(['word'] * 20)}\n{' '.join(['word'] * 6)}.\n")
    assert not too_long(f"{' '.join(['word'] * 20)}. {' '.join(['Word'] * 20)}.\n")
    assert not too_long(f"```\n{long}\n```\n")


def test_a_banned_phrase_is_found() -> None:
    assert banned("We utilise it.\n")
    assert banned("In\norder to go.\n")
    assert not banned("`in order to`\n")


def test_proselint_is_awake(tmp_path: Path) -> None:
    worn = "This is a very unique idea, and at the end of the day it is a game changer.\n"
    found = lint({"worn": worn, "plain": "The gateway closes the connection.\n"}, tmp_path)
    assert found["worn"]
    assert not found["plain"]
