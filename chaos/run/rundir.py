"""The run directory: where it is, and that it is new, empty and ours to write."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Final, NamedTuple

from chaos.errors import HarnessError, UsageError

RUNS: Final = Path("runs")


class RunDir(NamedTuple):
    """The places in a run directory. sut.deploy adds its own: topology.json, state.json, data/, hold/."""

    path: Path
    """Absolute."""

    @property
    def history(self) -> Path:
        """Directory of the events of all processes."""
        return self.path / "history"

    @property
    def logs(self) -> Path:
        """What each process wrote."""
        return self.path / "logs"

    @property
    def metrics(self) -> Path:
        """Samples of each process, each second."""
        return self.path / "metrics"

    @property
    def swarm(self) -> Path:
        """What the swarm is to do."""
        return self.path / "swarm.json"

    @property
    def schedule(self) -> Path:
        """What the run was to be; enough to run it again."""
        return self.path / "schedule.yaml"

    @property
    def ledger(self) -> Path:
        """How the faults of this run are undone."""
        return self.path / "undo.jsonl"

    @property
    def verdict(self) -> Path:
        """The verdict, as JSON."""
        return self.path / "verdict.json"

    @property
    def report(self) -> Path:
        """The verdict, for people."""
        return self.path / "report.html"

    @property
    def junit(self) -> Path:
        """The verdict, for continuous integration."""
        return self.path / "junit.xml"


def default_path(experiment: str, seed: int) -> Path:
    """runs/EXPERIMENT-DATE-SEED below the working directory; a number is added while that is taken."""
    stem = f"{experiment}-{time.strftime('%Y%m%d-%H%M%S')}-{seed}"
    path, number = RUNS / stem, 2
    while path.exists():
        path, number = RUNS / f"{stem}.{number}", number + 1
    return path


def check_new(path: Path) -> None:
    """Raises UsageError when there is something at this place."""
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        raise UsageError(f"{path}: not empty; each run has a directory of its own")


def make(path: Path) -> RunDir:
    """Make the directory, which must be new or empty. Raises UsageError; HarnessError where nothing can be written."""
    directory = RunDir(path.absolute())
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise UsageError(f"{path}: not empty; each run has a directory of its own")
        if not os.access(path, os.W_OK | os.X_OK):
            raise HarnessError(f"{path}: cannot be written to")
        for part in (directory.history, directory.logs, directory.metrics):
            part.mkdir()
    except FileExistsError:
        raise UsageError(f"{path}: is there already and is no directory") from None
    except OSError as error:
        kind = HarnessError if error.errno in (errno.EROFS, errno.ENOSPC, errno.EDQUOT) else UsageError
        raise kind(f"{path}: cannot be made: {error.strerror}") from None
    return directory
