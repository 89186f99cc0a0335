"""The output of commands on standard output and standard error."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from chaos.errors import UNKNOWN, VALID, printable

if TYPE_CHECKING:
    from chaos.verdict.model import Verdict


def fail(text: str, status: int) -> int:
    """Print one line on standard error that gives the reason of the status; returns the status."""
    with contextlib.suppress(OSError, ValueError):
        print(f"petrel: {printable(' '.join(text.split()))}", file=sys.stderr, flush=True)  # noqa: T201
    return status


def note(text: str) -> None:
    """One line on standard error that changes no status."""
    fail(text, VALID)


def print_json(value: object) -> int:
    """Print one JSON value on the last line of standard output. Returns 0."""
    import msgspec

    print(msgspec.json.encode(value).decode(), flush=True)  # noqa: T201
    return VALID


def judged(verdict: Verdict, *, as_json: bool) -> int:
    """Print the JSON for machines, and one line of the reason if the verdict is not valid. Returns the exit status."""
    from chaos.verdict.model import encode, exit_status

    if as_json:
        print(encode(verdict).decode(), flush=True)  # noqa: T201
    if verdict.verdict == "valid":
        return exit_status(verdict)
    reasons = [check for check in verdict.checks if check.verdict == verdict.verdict]
    why = next((check for check in reasons if check.name == "vacuity"), reasons[0])
    return fail(f"{verdict.verdict}: {why.name}: {why.detail}", exit_status(verdict))


def caught(verdict: Verdict, *, by: str, as_json: bool) -> int:
    """Print what machines read, and whether that check found the known-bad design. Returns 0 if so, else 2."""
    from chaos.verdict.model import encode

    if as_json:
        print(encode(verdict).decode(), flush=True)  # noqa: T201
    check = next(check for check in verdict.checks if check.name == by)
    if check.verdict == "invalid" and check.counterexamples:
        note(f"caught: {by}: {check.detail}; {check.counterexamples[0].text}")
        return VALID
    others = [other.name for other in verdict.checks if other.verdict == "invalid"]
    seen = f"; invalid by {', '.join(others)}" if others else ""
    return fail(f"variant {verdict.variant} was not caught: {by} is {check.verdict}: {check.detail}{seen}", UNKNOWN)
