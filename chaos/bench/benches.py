"""`petrel bench NAME`: each bench measures one cost on a system of its own, with a table and a JSON file.

A bench is a module chaos/bench/NAME.py with a `BENCH`. It starts its system, and a crowd (load/bench/crowd.py) in a
separate process makes the load. It returns a row per point; the bench defines what varies from point to point. Figures
of one machine on one day compare designs; they are no promise.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

import msgspec
import psutil
from rich.table import Table
from rich.text import Text

from chaos.errors import HarnessError, UsageError, no_such
from chaos.run import rundir, whole
from chaos.run.interrupt import Aborted, Interrupted
from chaos.screen.console import for_people, plain_table
from load.bench.crowd import Measured, Plan
from sut.deploy.system import System
from sut.deploy.topology import Settings

NAMES: Final = ("fanout", "storm", "counter", "reconnect", "presence", "hostile")
OURS: Final = ("gateway", "chat", "sequencer", "api")


Row = Mapping[str, float] | Mapping[str, float | str]


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of a bench from the command line."""

    directory: Path
    variant: str | None
    duration_s: float | None
    """Seconds of each point; None means the bench's default."""
    points: tuple[int, ...]
    """The points to measure; empty means the bench's default."""
    say: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One measurement. A row is column -> figure, or the name of a point; the first row gives the table's columns."""

    summary: str
    run: Callable[[Request], Sequence[Row]]


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
    duration_s: float | None,
    points: tuple[int, ...],
    out: Path | None,
    as_json: bool,
) -> int:
    """Measure, print, and write bench.json. Returns the exit status. Raises UsageError, HarnessError."""
    bench = find(name)
    console = for_people(stderr=as_json)
    directory = rundir.make(out or rundir.default_path(f"bench-{name}", os.getpid())).path

    def say(text: str) -> None:
        console.print(Text(text, "dim"))

    rows = bench.run(Request(directory=directory, variant=variant, duration_s=duration_s, points=points, say=say))
    told = {"bench": name, "variant": variant, "rows": [dict(row) for row in rows]}
    path = directory / "bench.json"
    path.write_text(json.dumps(told, indent=1) + "\n")
    console.print(table(bench.summary, rows))
    say(f"in {path}")
    if as_json:
        print(json.dumps(told), flush=True)  # noqa: T201
    return 0


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
    """Yield an embedded system while the bench measures. Raises HarnessError."""
    try:
        with whole.running(
            profile="embedded",
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

    def begin(self) -> None:
        """Tell the crowd to start its load."""
        self._write("go")

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


def cpu_s(system: System) -> dict[str, float]:
    """Return the CPU seconds used by our own processes, by kind. A process that does not run counts 0."""
    used = dict.fromkeys(OURS, 0.0)
    for service in system.topology.services:
        pid = system.pid(service.name) if service.kind in used else None
        if pid is not None:
            times = psutil.Process(pid).cpu_times()
            used[service.kind] += times.user + times.system
    return used
