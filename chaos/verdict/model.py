"""The verdict as data: exactly the JSON that `petrel run --json` prints and RUN_DIR/verdict.json holds.

Times named `_s` are seconds. Those of a fault count from the start of the steady phase (without phases: from the first
event). Latencies are milliseconds from the intended send to the display at the recipient.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from chaos.errors import INVALID, UNKNOWN, VALID

Outcome = Literal["valid", "invalid", "unknown"]
Id = int | str
"""An id as recorded in the history."""

STATUS: Final[dict[Outcome, int]] = {"valid": VALID, "invalid": INVALID, "unknown": UNKNOWN}


class Counterexample(msgspec.Struct, frozen=True, kw_only=True):
    """One anomaly: its place, and one line that describes it. Fields that do not apply are null."""

    conv: Id | None = None
    msg: Id | None = None
    seq: int | None = None
    devices: tuple[Id, ...] = ()
    text: str


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of one check, with its reason in one line."""

    name: str
    verdict: Outcome
    detail: str
    counterexamples: tuple[Counterexample, ...] = ()


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much was judged, and how many anomalies of each kind there are.

    `sends_*` count messages: invoked = acked + failed (refused for good) + indeterminate. `deliveries_expected`: acked
    messages times the member devices at their number, except the sending device; devices that stay away count too.
    `deliveries`: messages displayed at a device other than the sending one, once each, acked or not. `lost`: acked
    messages that the final of some member device lacks. `duplicates`: surplus displays, and surplus numbers of a
    message. `reordered`: displays and sends out of order. `gaps`: numbers missing in finals, and numbers with two
    messages. `phantoms`: contents that nobody sent. `leaks`: messages on devices that must not have them. `refusals`:
    how often a send was refused for now, by a service that is overloaded or cannot do it just then; each was repeated.
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
    refusals: int = 0


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Exact (nearest-rank) percentiles of `n` samples in ms; null without samples."""

    p50: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None
    n: int = 0


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies. `steady`: due in the steady phase and outside every fault window. `all`: every sample."""

    steady: Percentiles = Percentiles()
    all: Percentiles = Percentiles()


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What people felt of one fault, by the deliveries that were due in its window.

    `felt_s`: seconds from the injection until p99 was back within the bound; 0 if it never left it. Null where
    `recovery_s` is. `worst_p99_ms`: the p99 of the worst second. `worst_ms`: the slowest delivery. Both are null if
    none was due. `late`: the number of deliveries that took longer than the bound.
    """

    felt_s: float | None = None
    worst_p99_ms: float | None = None
    late: int = 0
    worst_ms: float | None = None


class FaultResult(msgspec.Struct, frozen=True, kw_only=True):
    """The course of one fault.

    Null times: it never happened. `recovery_s`: whole seconds from the heal until p99 was back within the bound; the
    fault's window ends then. It is null in three cases: the fault was not healed, the system did not recover in the
    time allowed, or no delivery was due. The evidence says which. `recovery`: what people felt, from the injection on.
    """

    name: str
    target: str
    injected_at_s: float | None
    healed_at_s: float | None
    effective: bool
    healed: bool
    evidence: str
    recovery_s: float | None
    recovery: Recovery = Recovery()


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
    """Number of events of each unknown kind; they were not judged."""
    provenance: dict[str, str] = {}
    """Where the history comes from, as its meta line says: version, commit, interpreter, machine."""
    notes: tuple[str, ...] = ()
    """Lines for people: what was not judged, and which bounds were more lenient than usual."""


def printable(text: str) -> str:
    """Return the text with every unprintable character replaced by its escape."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def exit_status(verdict: Verdict) -> int:
    """Return the exit status: 0 valid, 1 invalid, 2 unknown."""
    return STATUS[verdict.verdict]


def total(outcomes: list[Outcome]) -> Outcome:
    """Return "invalid" if any outcome is, else "unknown" if any is, else "valid"."""
    if "invalid" in outcomes:
        return "invalid"
    return "unknown" if "unknown" in outcomes else "valid"


def encode(verdict: Verdict) -> bytes:
    """Return one line of JSON, without a newline."""
    return msgspec.json.encode(verdict)


def decode(data: bytes) -> Verdict:
    """Return the verdict of a JSON text. Raises msgspec.DecodeError."""
    return msgspec.json.decode(data, type=Verdict)
