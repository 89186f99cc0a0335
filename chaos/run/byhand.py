"""Ends a run that was started by hand: reads it back, judges it and closes it.

    python -m chaos.run.byhand RUN_DIR

The last line on standard output says the verdict and where the report is. Exit status as of `petrel run`: 0 valid, 1
invalid, 2 unknown, 70 no verdict. The sequencers are not killed before the read-back, for the system is somebody's.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from chaos.errors import HARNESS, ChaosError
from chaos.run.rundir import RunDir
from load.history.control import ControlReader, ControlWriter, Hole, Phase
from load.history.writer import now_ns

CLOSE_S: Final = 15.0
"""Longest wait for all processes of the swarm to close their histories."""
READ_BACK_S: Final = 120.0


def end(directory: RunDir) -> int:
    """Read back, judge and close. Returns the exit status; the line is printed. Raises ChaosError, OSError."""
    from chaos.run import outcome
    from chaos.verdict.model import exit_status

    for part in (directory.logs, directory.metrics):
        part.mkdir(exist_ok=True)
    control = ControlWriter(directory.history / "runner.jsonl", process="runner")
    if not _closed(directory.history):
        control.hole("a process of the swarm did not close its history in time")
    problem = _read_back(directory)
    if problem:
        control.write(Hole(t=now_ns(), process="readback", detail=problem))
    control.close()
    notes: list[str] = []
    verdict = outcome.conclude(directory, say=notes.append)
    reasons = [check for check in verdict.checks if check.verdict == verdict.verdict]
    why = f": {reasons[0].name}: {reasons[0].detail}" if verdict.verdict != "valid" else ""
    where = directory.report if directory.report.exists() else directory.verdict
    _say("; ".join([f"verdict {verdict.verdict}{why}", *notes, f"report {where}"]))
    return exit_status(verdict)


def _closed(history: Path) -> bool:
    """True if every process of the swarm wrote its end within CLOSE_S."""
    reader, ended = ControlReader(history), 0
    deadline_s = time.monotonic() + CLOSE_S
    while time.monotonic() < deadline_s:
        ended += sum(isinstance(event, Phase) and event.name == "end" for event in reader.poll())
        if ended >= len(list(history.glob("swarm-*.jsonl"))):
            return True
        time.sleep(0.1)
    return False


def _read_back(directory: RunDir) -> str:
    """Empty when all was read, else why not."""
    log = directory.logs / "readback.log"
    command = [sys.executable, "-P", "-m", "load.readback.readback", str(directory.swarm)]
    try:
        with log.open("ab") as output:
            done = subprocess.run(command, stdout=output, stderr=output, timeout=READ_BACK_S, check=False)
    except subprocess.TimeoutExpired:
        return f"it was not done within {READ_BACK_S:g} s"
    except OSError as error:
        return f"it could not be started: {error.strerror}"
    return f"exit {done.returncode}; see {log}" if done.returncode else ""


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Returns the exit status, which is 1 for a verdict only."""
    try:
        return end(RunDir(Path(sys.argv[1]).absolute()))
    except ChaosError as error:
        _say(f"no verdict: {error}")
    except OSError as error:
        _say(f"no verdict: {error.filename}: {error.strerror}")
    except MemoryError:
        _say("no verdict: out of memory")
    except BaseException as error:  # noqa: BLE001 (a library's panic is no Exception, and would end with 1)
        _say(f"no verdict: {type(error).__name__}: {error}")
    return HARNESS


if __name__ == "__main__":
    sys.exit(main())
