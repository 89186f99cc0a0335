"""An experiment of Chaos Toolkit in a run: its own `chaos run` takes the place of the engine, beside our load.

It runs in a process of its own, with its hypothesis, method, rollbacks and controls. Our actions (chaos/toolkit) find
the run by SYSTEM and break its system; the history gets their faults, and the verdict judges it as any other. What
Chaos Toolkit itself finds wrong makes the run `unknown`: an action that failed, a hypothesis that was not met.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from chaos.run import inject
from chaos.run.engine import Active
from chaos.run.inject import SYSTEM
from chaos.run.rundir import RunDir
from load.history.control import Fault as FaultLine
from load.history.control import Plan
from load.history.writer import now_ns
from sut.deploy.system import System

NAME: Final = "chaostoolkit"
LOOK_S: Final = 0.1
ROLLBACKS_S: Final = 20.0
"""Seconds that its rollbacks may take after an interruption."""


class Lines(Protocol):
    """The destination of what Chaos Toolkit found wrong (load.history.control.ControlWriter is one)."""

    def write(self, event: Plan | FaultLine) -> None:
        """Append one line to the history."""


class Played:
    """One experiment of Chaos Toolkit, with the interface of an engine."""

    def __init__(
        self, file: Path, directory: RunDir, *, system: System, lines: Lines, say: Callable[[str], None]
    ) -> None:
        """Copy the experiment to the run directory. Raises OSError."""
        self._file = directory.path / f"{NAME}{file.suffix}"
        shutil.copyfile(file, self._file)
        self._directory = directory
        self._system = system
        self._lines = lines
        self._say = say
        self._stop = threading.Event()
        self.errors: list[str] = []
        """Errors of the harness itself, one line each."""
        self.healed = 0

    @property
    def journal(self) -> Path:
        """Its journal, which `chaos report` reads."""
        return self._directory.path / "journal.json"

    def run(self) -> None:
        """Run it to its end, or until `stop`; then heal what it left, and record what it found wrong."""
        log = self._directory.logs / f"{NAME}.log"
        command = [sys.executable, "-P", "-m", NAME, "--no-version-check", "--log-file", str(log.with_suffix(".json"))]
        command += ["run", "--rollback-strategy", "always", "--journal-path", str(self.journal), str(self._file)]
        place = {**os.environ, **self._system.environment(), SYSTEM: str(self._directory.path)}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self._directory.path, env=place, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                self._await(process)
            finally:
                process.kill()
                process.wait()
        inject.heal(self._system, say=lambda _line: None)
        wrong = "it was interrupted" if self._stop.is_set() else "; ".join(found_wrong(self.journal))
        if wrong:
            self._say(f"Chaos Toolkit: {wrong}")
            self._record(wrong)

    def stop(self) -> None:
        """End it, with its rollbacks; `run` returns soon. For any thread or a signal handler."""
        self._stop.set()

    def active(self) -> tuple[Active, ...]:
        """Return nothing: what is broken now is known to Chaos Toolkit alone."""
        return ()

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            if self._stop.wait(LOOK_S):
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(ROLLBACKS_S)
                except subprocess.TimeoutExpired:
                    self.errors.append(f"Chaos Toolkit did not end within {ROLLBACKS_S:g} s and was killed")
                return

    def _record(self, wrong: str) -> None:
        """Record the experiment as a planned fault that was not done: then `vacuity` is unknown, and says why."""
        plan = Plan(t=now_ns(), fault=NAME, name=NAME, target="experiment", at_s=0.0, for_s=0.0)
        skip = FaultLine(t=now_ns(), fault=NAME, name=NAME, target="experiment", phase="skip", ok=False, evidence=wrong)
        self._lines.write(plan)
        self._lines.write(skip)


def found_wrong(journal: Path) -> Iterator[str]:
    """Yield what a journal says went wrong, one phrase each."""
    try:
        told = json.loads(journal.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        yield "there is no journal"
        return
    if told.get("status") != "completed":
        yield f"the experiment ended as {told.get('status')}"
    if told.get("deviated"):
        yield "its hypothesis was not met at the end"
    for done in (*_probes(told, "before"), *told.get("run", ()), *_probes(told, "after"), *told.get("rollbacks", ())):
        if done.get("status") != "succeeded":
            raised = [line for part in done.get("exception") or () if (line := str(part).strip())]
            why = f": {raised[-1]}" if raised else ""
            yield f"{done.get('activity', {}).get('name')} {done.get('status')}{why}"[:400]
        elif done.get("tolerance_met") is False:
            yield f"{done.get('activity', {}).get('name')} was not within its tolerance"


def _probes(told: Mapping[str, Any], when: str) -> list[Mapping[str, Any]]:
    states = (told.get("steady_states") or {}).get(when) or {}
    return list(states.get("probes") or ())
