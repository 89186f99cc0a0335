"""The pages of the documentation, and their Markdown taken apart: prose, code fences, links and headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "findings").rglob("*.md"))]

FENCE = re.compile(r"^(\s*)(```+|~~~+)\s*([\w-]*)")
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
CODE = re.compile(r"(`+)(.+?)\1")
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Fence:
    """A block of code: the language after the opening fence, and the first line's number."""

    language: str
    line: int
    text: str


class Block(NamedTuple):
    """A paragraph, an item of a list, a heading or a cell of a table, with inline code still in it."""

    line: int
    text: str


def split(text: str) -> tuple[list[tuple[int, str]], list[Fence]]:
    """The lines outside code fences, each with its number, and the fences."""
    prose: list[tuple[int, str]] = []
    fences: list[Fence] = []
    opened: tuple[str, str, int, list[str]] | None = None
    for number, line in enumerate(COMMENT.sub(lambda found: "\n" * found[0].count("\n"), text).splitlines(), 1):
        if opened is not None:
            if line.strip().startswith(opened[0]):
                fences.append(Fence(opened[1], opened[2], "\n".join(opened[3]) + "\n"))
                opened = None
            else:
                opened[3].append(line)
        elif (found := FENCE.match(line)) is not None:
            opened = (found[2], found[3], number + 1, [])
        else:
            prose.append((number, line))
    assert opened is None, f"a code fence that begins above line {opened[2]} has no end" if opened else ""
    return prose, fences


def blocks(text: str) -> Iterator[Block]:
    """The pieces of prose, each as one line."""
    gathered: list[str] = []
    begun = 0
    for number, line in [*split(text)[0], (0, "")]:
        item = re.match(r"^\s*(?:[-*+]|\d+\.)\s+", line)
        if gathered and (
            not line.strip() or item or line.startswith(("|", "#", "![")) or number != begun + len(gathered)
        ):
            yield Block(begun, " ".join(gathered))
            gathered = []
        if line.startswith("|"):
            if not re.fullmatch(r"[|\s:-]+", line):
                yield from (Block(number, cell) for part in re.split(r"(?<!\\)\|", line) if (cell := part.strip()))
        elif (heading := HEADING.match(line)) is not None:
            yield Block(number, heading[2])
        elif line.strip():
            if not gathered:
                begun = number
            gathered.append((line[item.end() :] if item else line).strip())


def anchors(text: str) -> set[str]:
    """The fragment of each heading, as GitHub makes it."""
    found: set[str] = set()
    for _, line in split(text)[0]:
        if (heading := HEADING.match(line)) is not None:
            plain = CODE.sub(lambda code: code[2], re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[2]))
            slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            name, number = slug, 0
            while name in found:
                number += 1
                name = f"{slug}-{number}"
            found.add(name)
    return found


def links(text: str) -> list[tuple[int, str]]:
    """The target of each link and picture, with its line; those in code are none."""
    plain = "\n".join(line if line.strip() else "" for line in _with_blanks(text))
    plain = CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), plain)
    return [(plain.count("\n", 0, found.start()) + 1, found[1]) for found in LINK.finditer(plain)]


def _with_blanks(text: str) -> list[str]:
    lines = [""] * (text.count("\n") + 1)
    for number, line in split(text)[0]:
        lines[number - 1] = line
    return lines
