"""The errors of the harness. Each text is the one line that a person reads; each class has its exit status."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

VALID: Final = 0
INVALID: Final = 1
UNKNOWN: Final = 2
USAGE: Final = 64
HARNESS: Final = 70


class ChaosError(Exception):
    """Root of the harness's own errors."""

    status: int = HARNESS


class UsageError(ChaosError):
    """The request cannot be carried out as given; the text says what to give instead."""

    status = USAGE


class HarnessError(ChaosError):
    """The harness failed; nothing is known about the system under test."""

    status = HARNESS


class FaultError(ChaosError):
    """A fault could not be prepared or injected. The run continues and the fault counts as without effect."""


def no_such(kind: str, name: str, known: Iterable[str]) -> str:
    """Return a line for an unknown name: the known names that resemble it, else all known names."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.75)
    return f"no {kind} {name!r}; {'perhaps' if near else 'there are'} {', '.join(near or known)}"


def printable(text: str) -> str:
    """Return the text with its unprintable characters escaped, so that foreign text cannot control a terminal."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
