"""Computes the verdict of a finished run directory and writes the files that show it."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from chaos.errors import USAGE, HarnessError, UsageError
from chaos.run import experiment, junit, manifest
from chaos.run.rundir import RunDir
from chaos.verdict.model import printable
from sut.deploy.access import without

if TYPE_CHECKING:
    from chaos.verdict.history.history import History
    from chaos.verdict.model import Verdict


def conclude(directory: RunDir, *, say: Callable[[str], None]) -> Verdict:
    """Judge a run that has ended, write verdict.json, junit.xml and report.html, and close it. Raises HarnessError.

    A page that cannot be drawn changes no verdict: that is said, and the reason is in the logs. A run without a verdict
    is closed too, so that it can be judged later.
    """
    try:
        return _conclude(directory, say)
    finally:
        try:
            manifest.close(directory.path)
        except OSError as error:
            say(f"the run is not closed: {error.filename or directory.path}: {error.strerror}")


def _conclude(directory: RunDir, say: Callable[[str], None]) -> Verdict:
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
        directory.junit.write_bytes(
            junit.render(
                verdict, started_at=_started_at(history), replay=shlex.join(["petrel", "replay", str(directory.path)])
            )
        )
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


def without_verdict(directory: RunDir, experiment_name: str, why: str) -> None:
    """Write a junit.xml that says why there is no verdict, unless there is one. What cannot be written is left out."""
    if not directory.path.is_dir() or directory.junit.exists():
        return
    with contextlib.suppress(OSError, UsageError):
        directory.junit.write_bytes(junit.failed(experiment_name, why))
        manifest.add(directory.path, directory.junit)


def verify(source: Path, *, foreign: bool, say: Callable[[str], None]) -> Verdict:
    """Judge again: the history of a run directory, or a foreign one in a file of JSON lines.

    `say` hears what must be known of the evidence. Judged in a process of its own, so that one that is ended for want
    of memory or threads is no verdict. Raises UsageError: the history cannot be judged; HarnessError: there is no
    verdict.
    """
    from chaos.verdict.model import decode

    _check_whole(source, foreign=foreign, say=say)
    command = [sys.executable, "-m", "chaos.verdict", "history" if foreign else "run", str(source)]
    environment = {**without(os.environ), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
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


def load(source: Path, *, foreign: bool = False, say: Callable[[str], None]) -> History:
    """A history. Raises UsageError: the text names the file and the place that cannot be read.

    `say` hears what must be known of the evidence.
    """
    from chaos.verdict.history.history import HistoryError, load_jsonl, load_run

    _check_whole(source, foreign=foreign, say=say)
    try:
        return load_jsonl(source) if foreign else load_run(source)
    except HistoryError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror}") from None


def recorded(run_dir: Path, *, say: Callable[[str], None]) -> Verdict:
    """Return the verdict that the run ended with. Raises UsageError if there is none, or the directory is not whole."""
    from chaos.verdict.model import decode

    _check_whole(run_dir, foreign=False, say=say)
    path = RunDir(run_dir).verdict
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; petrel verify {run_dir} judges the history") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except msgspec.DecodeError:
        raise UsageError(f"{path}: broken; petrel verify {run_dir} judges the history") from None


def report(run_dir: Path, *, say: Callable[[str], None]) -> Path:
    """Judge a run again and write its report.html anew. Returns the path.

    `say` hears what must be known, such as a verdict that is not the recorded one. Raises UsageError.
    """
    from chaos.verdict.judge import judge
    from dashboards.report import render

    history = load(run_dir, say=say)
    verdict = judge(history)
    place = RunDir(run_dir)
    if place.verdict.exists() and (before := recorded(run_dir, say=say).verdict) != verdict.verdict:
        say(f"this version judges {verdict.verdict}; verdict.json says {before}, and stays as it is")
    try:
        path = render(verdict, history, run_dir, shipped=verdict.experiment in experiment.names())
        for written in (path, place.metrics / "hops.json"):
            if written.exists():
                manifest.add(run_dir, written)
    except OSError as error:
        raise UsageError(f"{error.filename or run_dir}: {error.strerror}") from None
    return path


def _check_whole(source: Path, *, foreign: bool, say: Callable[[str], None]) -> None:
    """Raises UsageError when a run directory is not as it was closed."""
    remark = None if foreign else manifest.check(source)
    if remark is not None:
        say(f"{source}: {remark}")


def _started_at(history: History) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(history.first_ns / 1e9)) if history.first_ns else ""
