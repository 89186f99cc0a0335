"""The verdict as data: exactly the JSON that `petrel run --json` prints and RUN_DIR/verdict.json holds.

Times named `_s` are seconds; those of a fault count from the start of the steady phase (without phases: from the
first event). Latencies are milliseconds from the intended send to the display at the recipient.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from chaos.errors import INVALID, UNKNOWN, VALID

Outcome = Literal["valid", "invalid", "unknown"]
Id = int | str
"""An id as the history gave it."""

_STATUS: Final[dict[Outcome, int]] = {"valid": VALID, "invalid": INVALID, "unknown": UNKNOWN}


class Counterexample(msgspec.Struct, frozen=True, kw_only=True):
    """One anomaly: where it is, and in one line what is wrong. Fields that do not apply are null."""

    conv: Id | None = None
    msg: Id | None = None
    seq: int | None = None
    devices: tuple[Id, ...] = ()
    text: str


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one check says, and why, in one line."""

    name: str
    verdict: Outcome
    detail: str
    counterexamples: tuple[Counterexample, ...] = ()


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much was judged, and how many anomalies of each kind there are.

    `sends_*` count messages: invoked = acked + failed (refused for good) + indeterminate. `deliveries_expected`: acked
    messages times the member devices at their number, the sending device excepted; devices that stay away count too.
    `deliveries`: messages displayed at a device other than the sending one, once each, acked or not. `lost`: acked
    messages that the final of some member device lacks. `duplicates`: surplus displays, and surplus numbers of a
    message. `reordered`: displays and sends out of order. `gaps`: numbers missing in finals, and numbers with two
    messages. `phantoms`: contents that nobody sent. `leaks`: messages on devices that must not have them.
    """

    devices: int = 0
    sends_invoked: int = 0
    sends_acked: int = 0
    sends_failed: int = 0
    sends_indeterminate: int = 0
    deliveries_expected: int = 0
    deliveries: int = 0
    lost: int = 0
    duplicates: int = 0
    reordered: int = 0
    gaps: int = 0
    phantoms: int = 0
    leaks: int = 0


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Exact (nearest-rank) percentiles of `n` samples in ms; null without samples."""

    p50: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None
    n: int = 0


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Steady: due in the steady phase and outside every fault window. All: every sample."""

    steady: Percentiles = Percentiles()
    all: Percentiles = Percentiles()


class FaultResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one fault. Null times: it never happened. `recovery_s` null: not healed, or not recovered in the
    time allowed, or nothing was due by which to tell; the evidence says which.
    """

    name: str
    target: str
    injected_at_s: float | None
    healed_at_s: float | None
    effective: bool
    healed: bool
    evidence: str
    recovery_s: float | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one run or one history."""

    verdict: Outcome
    experiment: str
    profile: str
    variant: str | None
    seed: int
    duration_s: float
    counts: Counts
    latency_ms: Latency
    faults: tuple[FaultResult, ...]
    checks: tuple[CheckResult, ...]
    unknown_kinds: dict[str, int] = {}
    """Events of unknown kinds, which were not judged: how many of each."""
    notes: tuple[str, ...] = ()
    """For people: what was not judged, and by what bounds it was judged more leniently than usual."""


def printable(text: str) -> str:
    """The text with every character that a terminal does not print as itself written as its escape."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def exit_status(verdict: Verdict) -> int:
    """0 valid, 1 invalid, 2 unknown."""
    return _STATUS[verdict.verdict]


def total(outcomes: list[Outcome]) -> Outcome:
    """Invalid if any is, else unknown if any is, else valid."""
    if "invalid" in outcomes:
        return "invalid"
    return "unknown" if "unknown" in outcomes else "valid"


def encode(verdict: Verdict) -> bytes:
    """One line of JSON, without its end."""
    return msgspec.json.encode(verdict)


def decode(data: bytes) -> Verdict:
    """Read a verdict back. Raises msgspec.DecodeError."""
    return msgspec.json.decode(data, type=Verdict)
