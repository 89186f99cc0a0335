"""What an anti-pattern is here, and the processes that the small ones measure."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
import psutil

from chaos.errors import HarnessError

MARGIN: Final = 1.1
"""A ratio below this is no difference on a machine that does other things too."""


class NotRun(Exception):
    """The pattern cannot be measured here; the text says why."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of both choices. `better`: which value is the better one."""

    name: str
    wrong: float
    right: float
    better: Literal["low", "high"] = "low"

    @property
    def ratio(self) -> float | None:
        """How many times worse the wrong choice is; null where the better value is 0."""
        worse, good = (self.wrong, self.right) if self.better == "low" else (self.right, self.wrong)
        return worse / good if good else None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The measurement of one pattern. The first figure is the one that decides."""

    name: str
    wrong: str
    right: str
    figures: tuple[Figure, ...] = ()
    anomaly: str = ""
    """What went wrong that nobody would accept at any price; empty: nothing."""
    where_wrong_wins: str = ""
    not_run: str = ""
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """What the measurement says, in a few words."""
        if self.not_run:
            return "not run"
        if self.anomaly:
            return f"wrong: {self.anomaly}"
        ratio = self.figures[0].ratio
        if ratio is None:
            return "wrong: the right one costs nothing here"
        if ratio < MARGIN:
            return f"no difference here ({ratio:.2f} times)"
        return f"{ratio:.1f} times worse"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a pattern is measured: a directory of its own, and who hears of it."""

    directory: Path
    say: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """One pair of choices. `measure` raises NotRun and HarnessError."""

    name: str
    wrong: str
    right: str
    measure: Callable[[Place], Result]


class Child:
    """A process of a measurement: `python -m MODULE ARGUMENTS`, which prints one line when it is ready."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.line = ""

    def ready(self) -> str:
        """Wait for its line and return it. Raises HarnessError."""
        assert self._process.stdout is not None
        self.line = self._process.stdout.readline().strip()
        if not self.line:
            raise HarnessError(f"a process of the measurement did not start: {self._process.args!r}")
        return self.line

    def read(self) -> str:
        """Return its next line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def say(self, line: str) -> None:
        """Write a line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def cpu_s(self) -> float:
        """Return the CPU that it has used."""
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def child(module: str, *arguments: str) -> Iterator[Child]:
    """Yield a process that is ready; it is ended with the block. Raises HarnessError."""
    started = Child(module, *arguments)
    try:
        started.ready()
        yield started
    finally:
        started.kill()


def measured(pattern: Pattern, place: Place) -> Result:
    """Return what the pattern measured, or why it was not run. Raises HarnessError."""
    begun_s = time.monotonic()
    place.directory.mkdir(parents=True, exist_ok=True)
    try:
        found = pattern.measure(place)
    except NotRun as why:
        found = Result(name=pattern.name, wrong=pattern.wrong, right=pattern.right, not_run=str(why))
    return msgspec.structs.replace(found, seconds=round(time.monotonic() - begun_s, 1))


def percentile(values: list[float], share: float) -> float:
    """Return the nearest-rank percentile; 0 without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
