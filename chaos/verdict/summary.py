"""What is kept of a run when many are compared: its verdict, its figures, and what it broke.

A combination is a fault, its target, and the third of the run in which it strikes. It is covered once it was proven and
healed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

THIRDS: Final = ("early", "middle", "late")


class Combination(NamedTuple):
    """Something that a run can break."""

    experiment: str
    fault: str
    target: str
    third: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one run. `verdict`: valid, invalid, unknown, or harness if there was none."""

    night: str
    run_dir: str
    experiment: str
    profile: str
    seed: int
    variant: str | None
    verdict: str
    why: str
    took_s: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    worst_p99_ms: dict[str, float] = {}
    """The worst second of each fault."""
    covered: tuple[tuple[str, str, str, str], ...] = ()
    """The combinations that were proven and healed."""
    provenance: dict[str, str] = {}

    @property
    def again(self) -> str:
        """The command that runs exactly this again."""
        return shlex.join(["petrel", "replay", self.run_dir])


def third(at_s: float, duration_s: float) -> str:
    """Return in which third of a run this is."""
    return THIRDS[min(2, max(0, int(3 * at_s / duration_s)))]


def combinations(experiment: str, duration_s: float, faults: Iterable[tuple[str, str, float]]) -> set[Combination]:
    """Return what these faults (name, target, time in s) break in a run of this length."""
    return {Combination(experiment, name, target, third(at_s, duration_s)) for name, target, at_s in faults}


def covered_by(summaries: Iterable[Summary]) -> set[Combination]:
    """Return every combination that a run has covered."""
    return {Combination(*one) for summary in summaries for one in summary.covered}
