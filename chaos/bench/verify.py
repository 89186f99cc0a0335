"""`petrel bench verify`: how long a history takes to be judged, and how much memory, by its size and its shape."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from chaos.bench import histories
from chaos.bench.benches import Bench, Request
from chaos.bench.histories import Shape
from chaos.errors import HarnessError
from chaos.verdict.model import decode

POINTS: Final = (1, 3, 10)
MILLION: Final = 1_000_000
SHAPES: Final = {"groups of 10": histories.groups, "broadcast": histories.broadcast}


class _Judged(NamedTuple):
    """The cost of one verdict."""

    events: int
    wall_s: float
    cpu_s: float
    peak_mb: float


def _run(request: Request) -> Sequence[Mapping[str, float]]:
    rows = []
    for millions in request.points or POINTS:
        row: dict[str, float] = {"million events": millions}
        for name, shape in SHAPES.items():
            request.say(f"{name}, {millions} million events")
            judged = _measure(shape(millions * MILLION), request.directory / f"{name.replace(' ', '-')}-{millions}")
            row |= {
                f"{name}: events": judged.events,
                f"{name}: s": judged.wall_s,
                f"{name}: s of CPU": judged.cpu_s,
                f"{name}: events/s": judged.events / judged.wall_s,
                f"{name}: peak MB": judged.peak_mb,
            }
        rows.append(row)
    return rows


def _measure(shape: Shape, run_dir: Path) -> _Judged:
    """Write a history, judge it in a process of its own, and remove it. Raises HarnessError."""
    try:
        # In a process of its own too: what this process once used would count as the judge's peak, who is its child.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as writer:
            events = writer.submit(histories.write, shape, run_dir).result()
        return _judge(run_dir, events)
    except OSError as error:
        raise HarnessError(f"{error.filename or run_dir}: {error.strerror}") from None
    finally:
        shutil.rmtree(run_dir, ignore_errors=True)


def _judge(run_dir: Path, events: int) -> _Judged:
    out = run_dir / "verdict.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    began = time.monotonic()
    with out.open("wb") as file:
        judge = subprocess.Popen(
            [sys.executable, "-P", "-m", "chaos.verdict", "run", str(run_dir)], stdout=file, env=environment
        )
        _, status, used = os.wait4(judge.pid, 0)  # of this child alone
    judge.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.monotonic() - began
    try:
        verdict = decode(out.read_bytes()).verdict
    except msgspec.DecodeError:
        raise HarnessError(f"the judge ended with {judge.returncode} without a verdict") from None
    if verdict != "valid":
        raise HarnessError(f"a history without a fault was judged {verdict}")
    return _Judged(events, wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


BENCH: Final = Bench(summary="The cost of a verdict", run=_run)
