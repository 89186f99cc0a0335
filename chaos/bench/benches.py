"""`petrel bench NAME`: each bench measures one cost on a system of its own, with a table and a JSON file.

A bench is a module chaos/bench/NAME.py with a `BENCH`. It starts its system, and a crowd (load/bench/crowd.py) in a
separate process makes the load. It returns a row per point; the bench defines what varies from point to point. Figures
of one machine on one day compare designs; they are no promise.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import psutil
from rich.table import Table
from rich.text import Text

from chaos.bench import NAMES
from chaos.errors import VALID, HarnessError, UsageError, no_such
from chaos.run import rundir, whole
from chaos.run.interrupt import Aborted, Interrupted
from chaos.screen.console import for_people, plain_table
from chaos.verdict.model import STATUS, Outcome
from load.bench.crowd import Measured, Plan
from sut.deploy.system import System
from sut.deploy.topology import Settings

OURS: Final = ("gateway", "chat", "sequencer", "api")


Row = Mapping[str, float] | Mapping[str, float | str]


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of a bench from the command line."""

    directory: Path
    variant: str | None
    profile: str = "embedded"
    duration_s: float | None
    """Seconds of each point; None means the bench's default."""
    points: tuple[int, ...]
    """The points to measure; empty means the bench's default."""
    say: Callable[[str], None]


class Judgement(NamedTuple):
    """What the figures of a bench say about a promise, with the reason in one line."""

    verdict: Outcome
    why: str


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One measurement. A row is column -> figure, or the name of a point; the first row gives the table's columns."""

    summary: str
    run: Callable[[Request], Sequence[Row]]
    judge: Callable[[Sequence[Mapping[str, Any]]], Judgement] | None = None
    """None: the bench promises nothing, and its exit status is 0."""
    profiles: tuple[str, ...] = ("embedded",)
    """The profiles on which it runs."""


def find(name: str) -> Bench:
    """Return the bench of that name. Raises UsageError."""
    if name not in NAMES:
        raise UsageError(no_such("bench", name, NAMES))
    bench: Bench = import_module(f"chaos.bench.{name}").BENCH
    return bench


def run(
    name: str,
    *,
    variant: str | None,
    profile: str,
    duration_s: float | None,
    points: tuple[int, ...],
    out: Path | None,
    as_json: bool,
) -> int:
    """Measure, print, and write bench.json. Returns the exit status. Raises UsageError, HarnessError."""
    bench = find(name)
    if profile not in bench.profiles:
        raise UsageError(f"the bench {name} runs on {' and '.join(bench.profiles)}, not on {profile}")
    console = for_people(stderr=as_json)
    directory = rundir.make(out or rundir.default_path(f"bench-{name}", os.getpid())).path

    def say(text: str) -> None:
        console.print(Text(text, "dim"))

    rows = bench.run(
        Request(directory=directory, variant=variant, profile=profile, duration_s=duration_s, points=points, say=say)
    )
    told: dict[str, object] = {"bench": name, "profile": profile, "variant": variant, "rows": [dict(r) for r in rows]}
    found = bench.judge(rows) if bench.judge is not None else None
    if found is not None:
        told |= {"verdict": found.verdict, "why": found.why}
    path = directory / "bench.json"
    path.write_text(json.dumps(told, indent=1) + "\n")
    console.print(table(bench.summary, rows))
    if found is not None:
        console.print(Text(f"{found.verdict}: {found.why}"), soft_wrap=True)
    say(f"in {path}")
    if as_json:
        print(json.dumps(told), flush=True)  # noqa: T201
    return STATUS[found.verdict] if found is not None else VALID


def table(title: str, rows: Sequence[Row]) -> Table:
    """Return a table for people: a column per point, a line per figure."""
    first, *figures = rows[0]
    shown = plain_table(first, title=title)
    for row in rows:
        shown.add_column(_figure(row[first]), justify="right")
    for name in figures:
        shown.add_row(name, *(_figure(row[name]) for row in rows))
    return shown


def _figure(value: float | str) -> str:
    if isinstance(value, str):
        return value
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"


@contextmanager
def running(request: Request, *, settings: Settings | None = None) -> Iterator[System]:
    """Yield a system of the request's profile while the bench measures. Raises HarnessError."""
    try:
        with whole.running(
            profile=request.profile,
            directory=request.directory,
            variant=request.variant,
            settings=settings or Settings(),
            say=request.say,
        ) as system:
            yield system
    except (Interrupted, Aborted):
        raise HarnessError("interrupted") from None


class Crowd:
    """A crowd in a process of its own. Call `wait_until_ready`, `begin`, then `result`; end it with `close`."""

    def __init__(self, name: str, plan: Plan, *, log: Path, module: str = "load.bench.crowd") -> None:
        self._plan = plan
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._write(msgspec.json.encode(plan).decode())

    def wait_until_ready(self) -> None:
        """Wait until the whole crowd is connected. Raises HarnessError."""
        if self._read() != "ready":
            raise HarnessError(f"the crowd did not get ready: {self._log}")

    @property
    def pid(self) -> int:
        """The process of the crowd."""
        return self._process.pid

    def begin(self) -> None:
        """Tell the crowd to start its load."""
        self._write("go")

    def ask(self, line: str) -> str:
        """Write a line to the crowd and return the line that it answers. Raises HarnessError."""
        self._write(line)
        answer = self._read()
        if not answer:
            raise HarnessError(f"the crowd said nothing: {self._log}")
        return answer

    def result(self) -> Measured:
        """Wait for the figures that the crowd measured. Raises HarnessError."""
        try:
            return msgspec.json.decode(self._read(), type=Measured)
        except msgspec.DecodeError:
            raise HarnessError(f"the crowd said nothing: {self._log}") from None

    def close(self) -> None:
        """Kill the process if it still runs, and close its pipes."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")


class Others:
    """The CPU that neither the bench nor its system nor its crowd uses. `share` tells it since the last call."""

    def __init__(self, system: System, crowd: Crowd) -> None:
        pids = [system.pid(service.name) for service in system.topology.services]
        self._ours = [psutil.Process(pid) for pid in (os.getpid(), crowd.pid, *pids) if pid is not None]
        self._last = self._used()

    def share(self) -> float:
        """Return the share of all cores, 0 to 1."""
        busy_s, ours_s, at_s = self._used()
        was_busy_s, were_ours_s, before_s = self._last
        self._last = busy_s, ours_s, at_s
        others_s = busy_s - was_busy_s - (ours_s - were_ours_s)
        return max(0.0, others_s) / max(1e-9, (at_s - before_s) * (os.cpu_count() or 1))

    def _used(self) -> tuple[float, float, float]:
        times, ours_s = psutil.cpu_times(), 0.0
        for process in self._ours:
            with contextlib.suppress(psutil.Error):
                used = process.cpu_times()
                ours_s += used.user + used.system
        return (
            sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0),
            ours_s,
            time.monotonic(),
        )


def cpu_s(system: System) -> dict[str, float]:
    """Return the CPU seconds used by our own processes, by kind. A process that does not run counts 0."""
    used = dict.fromkeys(OURS, 0.0)
    for service in system.topology.services:
        pid = system.pid(service.name) if service.kind in used else None
        if pid is not None:
            times = psutil.Process(pid).cpu_times()
            used[service.kind] += times.user + times.system
    return used
