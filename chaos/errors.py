"""The errors of the harness. Each one's text is the one line that a person reads; each knows its exit status."""

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
    """What was asked for cannot be done as it was said; the text says what to say instead."""

    status = USAGE


class HarnessError(ChaosError):
    """The harness could not do its job; nothing is known about the system under test."""

    status = HARNESS


class FaultError(ChaosError):
    """A fault could not be prepared or injected; the run goes on and the fault counts as without effect."""


def no_such(kind: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that is none: those that it resembles, else all that there are."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.75)
    return f"no {kind} {name!r}; {'perhaps' if near else 'there are'} {', '.join(near or known)}"


def printable(text: str) -> str:
    """The text with its control characters as escapes: what others wrote must not steer a terminal."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
