"""From a finished run directory to its verdict, and to the files that show it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.errors import HarnessError, UsageError
from chaos.run import experiment, junit
from chaos.run.rundir import RunDir

if TYPE_CHECKING:
    from chaos.verdict.history.history import History
    from chaos.verdict.model import Verdict


def conclude(directory: RunDir, *, say: Callable[[str], None]) -> Verdict:
    """Judge a run that has ended and write verdict.json, junit.xml and report.html. Raises HarnessError.

    A page that cannot be drawn changes no verdict: that is said, and the reason is in the logs.
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
    except Exception as error:  # noqa: BLE001 (the verdict stands without its picture)
        log = directory.logs / "report.log"
        log.write_text(traceback.format_exc(), encoding="utf-8")
        say(f"no report: {type(error).__name__}; see {log}")
    return verdict


def verify(source: Path, *, foreign: bool) -> Verdict:
    """Judge again: the history of a run directory, or a foreign one in a file of JSON lines. Raises UsageError."""
    from chaos.verdict.history.history import HistoryError
    from chaos.verdict.judge import judge

    try:
        return judge(load(source, foreign=foreign))
    except HistoryError as error:
        raise UsageError(f"{source}: {error}") from None


def load(source: Path, *, foreign: bool = False) -> History:
    """A history. Raises UsageError: the text names the file and the place that cannot be read."""
    from chaos.verdict.history.history import HistoryError, load_jsonl, load_run

    try:
        return load_jsonl(source) if foreign else load_run(source)
    except HistoryError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror}") from None


def _started_at(history: History) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(history.first_ns / 1e9)) if history.first_ns else ""
