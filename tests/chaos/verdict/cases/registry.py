"""The registry of the hand-made histories: each by name, with the verdict it must get and the checks behind it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.chaos.verdict.book import Book

DIRECTORY = Path(__file__).parent.parent / "histories"


class Case(NamedTuple):
    """A history and what it is: the checks that are not valid, with their verdicts."""

    name: str
    verdict: str
    checks: dict[str, str]
    write: Callable[[], Book]

    @property
    def folder(self) -> str:
        """Where its file is."""
        return {"valid": "good", "invalid": "bad", "unknown": "unknown"}[self.verdict]

    def text(self) -> str:
        """The file."""
        return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in self.write().lines)


CASES: dict[str, Case] = {}
Write = Callable[[], Book]


def good(write: Write) -> Write:
    """All checks valid."""
    CASES[write.__name__] = Case(write.__name__, "valid", {}, write)
    return write


def bad(*also: str, doubt: tuple[str, ...] = ()) -> Callable[[Write], Write]:
    """The check that the name begins with is invalid, `also` others; `doubt`: those that are unknown."""

    def register(write: Write) -> Write:
        name = write.__name__.replace("__", ".", 1)
        checks = dict.fromkeys((name.split(".")[0], *also), "invalid") | dict.fromkeys(doubt, "unknown")
        CASES[name] = Case(name, "invalid", checks, write)
        return write

    return register


def unknown(*also: str) -> Callable[[Write], Write]:
    """The check that the name begins with is unknown, and `also` others."""

    def register(write: Write) -> Write:
        name = write.__name__.replace("__", ".", 1)
        CASES[name] = Case(name, "unknown", dict.fromkeys((name.split(".")[0], *also), "unknown"), write)
        return write

    return register


def talk(book: Book | None = None) -> Book:
    """Three messages, everything right."""
    book = book or Book()
    book.say(1, "ann", "hello")
    book.say(2, "bob", "hi")
    book.say(3, "ann", "news")
    return book
