"""Reduces a failing schedule: which of its faults does the failure need?

Delta debugging (ddmin): halves of the faults are tried, then quarters, then what is left without a quarter, and so on,
until no single fault can be left out. A fault keeps its time and its target. A part fails if one of its `tries` runs is
invalid by the same check; chance decides too, so the result says in how many of its runs the failure came back.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from chaos.errors import HarnessError, UsageError
from chaos.run import apart, outcome, schedule
from chaos.run.interrupt import Interrupt
from chaos.run.schedule import PlannedFault, Schedule

Faults = tuple[PlannedFault, ...]
T = TypeVar("T")
SURE: Final = 3
"""Runs of the result, which say how sure it is."""


class Shrunk(NamedTuple):
    """What is left of a schedule."""

    check: str
    faults: Faults
    """The faults that the failure needs; empty if it comes without any."""
    directory: Path
    """Holds schedule.yaml, which `petrel replay` runs."""
    failed: int
    runs: int
    """The failure came back in `failed` of the `runs` last runs of it."""
    tried: int
    """Runs in all."""


def ddmin(faults: tuple[T, ...], fails: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """Return a part of the faults that fails and of which none can be left out. They fail as a whole."""
    if fails(()):
        return ()
    parts = 2
    while len(faults) > 1:
        cuts = [round(place * len(faults) / parts) for place in range(parts + 1)]
        pieces = [faults[first:last] for first, last in itertools.pairwise(cuts)]
        rests = [faults[:first] + faults[last:] for first, last in itertools.pairwise(cuts)]
        candidates = [*((piece, 2) for piece in pieces), *((rest, max(parts - 1, 2)) for rest in rests if parts > 2)]
        found = next(((left, more) for left, more in candidates if fails(left)), None)
        if found is not None:
            faults, parts = found
        elif parts >= len(faults):
            break
        else:
            parts = min(2 * parts, len(faults))
    return faults


class Runs:
    """Runs subsets of a schedule, each set once."""

    def __init__(
        self, whole: Schedule, check: str, directory: Path, *, tries: int, limit: int,
        say: Callable[[str], None], over: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._whole, self._check, self._directory = whole, check, directory
        self._tries, self._limit, self._say, self._over = tries, limit, say, over
        self._known: dict[tuple[str, ...], bool] = {}
        self.number = 0

    def fail(self, faults: Faults) -> bool:
        """Return True if one of the tries fails. Raises HarnessError when the limit of runs is reached."""
        key = tuple(fault.fault for fault in faults)
        if key not in self._known:
            self._known[key] = any(self.fails_once(faults) for _ in range(self._tries))
        return self._known[key]

    def fails_once(self, faults: Faults) -> bool:
        """Run these faults once. Raises HarnessError: no verdict, or too many runs."""
        if self.number >= self._limit:
            raise HarnessError(f"not done after {self._limit} runs; --most takes more of them")
        self.number += 1
        place = self._directory / f"{self.number:03}"
        saved = save(self._whole, faults, place / "schedule")
        verdict, why = apart.run("replay", str(saved), "--out", str(place / "run"), over=self._over)
        if self._over():
            raise HarnessError(f"interrupted after {self.number} runs")
        if verdict is None:
            raise HarnessError(f"run {self.number} has no verdict: {why}")
        names = [check.name for check in verdict.checks if check.verdict == "invalid"]
        failed = self._check in names
        what = ", ".join(f"{fault.name} {fault.target}" for fault in faults) or "no fault"
        self._say(f"run {self.number}: {what}: {'fails' if failed else verdict.verdict}")
        return failed


def shrink(run_dir: Path, directory: Path, *, tries: int, limit: int, say: Callable[[str], None]) -> Shrunk:
    """Reduce the schedule of an invalid run. Raises UsageError: the run is not invalid; HarnessError, OSError."""
    whole, verdict = schedule.load(run_dir / "schedule.yaml"), outcome.recorded(run_dir, say=say)
    invalid = [check.name for check in verdict.checks if check.verdict == "invalid"]
    if not invalid:
        raise UsageError(f"{run_dir} is {verdict.verdict}: only a run that is invalid can be shrunk")
    say(f"looking for what {invalid[0]} needs of {len(whole.faults)} faults")
    with Interrupt() as interrupt:
        runs = Runs(whole, invalid[0], directory, tries=tries, limit=limit, say=say, over=lambda: interrupt.asked)
        left = ddmin(whole.faults, runs.fail)
        failed = sum(runs.fails_once(left) for _ in range(SURE))
    saved = save(whole, left, directory / "shrunk")
    return Shrunk(check=invalid[0], faults=left, directory=saved, failed=failed, runs=SURE, tried=runs.number)


def save(whole: Schedule, faults: Sequence[PlannedFault], directory: Path) -> Path:
    """Write the schedule with these faults only to directory/schedule.yaml. Returns the directory. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    schedule.save(msgspec.structs.replace(whole, faults=tuple(faults)), directory / "schedule.yaml")
    return directory
