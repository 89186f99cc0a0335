"""The run directory: its layout, and the check that it is new or empty."""

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
    """The absolute path of the run directory."""

    @property
    def history(self) -> Path:
        """Directory of the events of all processes."""
        return self.path / "history"

    @property
    def logs(self) -> Path:
        """Directory of the processes' logs."""
        return self.path / "logs"

    @property
    def metrics(self) -> Path:
        """Directory of the samples of each process, once a second."""
        return self.path / "metrics"

    @property
    def swarm(self) -> Path:
        """Configuration of the swarm."""
        return self.path / "swarm.json"

    @property
    def schedule(self) -> Path:
        """The schedule, which is enough to run it again."""
        return self.path / "schedule.yaml"

    @property
    def ledger(self) -> Path:
        """The undo ledger of the run's faults."""
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
    """Return runs/EXPERIMENT-DATE-SEED below the working directory, with a number added if that is taken."""
    stem = f"{experiment}-{time.strftime('%Y%m%d-%H%M%S')}-{seed}"
    path, number = RUNS / stem, 2
    while path.exists():
        path, number = RUNS / f"{stem}.{number}", number + 1
    return path


def check_new(path: Path) -> None:
    """Raise UsageError unless this path is new or an empty directory."""
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        raise UsageError(f"{path}: not empty; each run has a directory of its own")


def make(path: Path) -> RunDir:
    """Make the directory, which must be new or empty. Raises UsageError, or HarnessError if nothing can be written."""
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
