"""Computes the verdict of a finished run directory and writes the files that show it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from chaos.errors import USAGE, HarnessError, UsageError
from chaos.run import experiment, junit
from chaos.run.rundir import RunDir
from chaos.verdict.model import printable

if TYPE_CHECKING:
    from chaos.verdict.history.history import History
    from chaos.verdict.model import Verdict


def conclude(directory: RunDir, *, say: Callable[[str], None]) -> Verdict:
    """Judge a run that has ended and write verdict.json, junit.xml and report.html. Raises HarnessError.

    A report that cannot be drawn does not change the verdict: `say` gets a line, and the reason is in the logs.
    """
    from chaos.verdict.history.history import HistoryError, load_run
    from chaos.verdict.judge import judge
    from chaos.verdict.model import encode

    try:
        history = load_run(directory.path)
    except HistoryError as error:
        raise HarnessError(str(error)) from None
    verdict = judge(history)
    try:
        directory.verdict.write_bytes(encode(verdict) + b"\n")
        directory.junit.write_bytes(junit.render(verdict, started_at=_started_at(history)))
    except OSError as error:
        raise HarnessError(f"{error.filename}: {error.strerror}") from None
    try:
        from dashboards.report import render

        render(verdict, history, directory.path, shipped=verdict.experiment in experiment.names())
    except Exception as error:  # noqa: BLE001 (the verdict stands without its report)
        log = directory.logs / "report.log"
        log.write_text(traceback.format_exc(), encoding="utf-8")
        say(f"no report: {type(error).__name__}; see {log}")
    return verdict


def verify(source: Path, *, foreign: bool) -> Verdict:
    """Judge again: the history of a run directory, or a foreign one in a file of JSON lines.

    The judge is a process of its own: if it is ended for lack of memory or threads, there is no verdict. Raises
    UsageError if the history cannot be judged, HarnessError if there is no verdict.
    """
    from chaos.verdict.model import decode

    command = [sys.executable, "-m", "chaos.verdict", "history" if foreign else "run", str(source)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
    except OSError as error:
        raise HarnessError(f"{source}: no process to judge it: {error.strerror}") from None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode == USAGE:
        raise UsageError(said[-1] if said else str(source))
    try:
        if done.returncode == 0:
            return decode(done.stdout)
    except msgspec.DecodeError:
        pass
    ended = f"ended by signal {-done.returncode}" if done.returncode < 0 else f"ended with {done.returncode}"
    why = printable(said[-1]) if said else "it said nothing"
    raise HarnessError(f"{source}: the judge {ended} without a verdict, perhaps for want of memory or threads: {why}")


def load(source: Path, *, foreign: bool = False) -> History:
    """Return a history. Raises UsageError; the text names the file and the place that cannot be read."""
    from chaos.verdict.history.history import HistoryError, load_jsonl, load_run

    try:
        return load_jsonl(source) if foreign else load_run(source)
    except HistoryError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror}") from None


def _started_at(history: History) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(history.first_ns / 1e9)) if history.first_ns else ""
