"""The output of commands on standard output and standard error."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from chaos.errors import VALID, printable

if TYPE_CHECKING:
    from chaos.verdict.model import Verdict


def fail(text: str, status: int) -> int:
    """Print one line on standard error that gives the reason of the status; returns the status."""
    with contextlib.suppress(OSError, ValueError):
        print(f"petrel: {printable(' '.join(text.split()))}", file=sys.stderr, flush=True)  # noqa: T201
    return status


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
