"""The waiting loop of a run: watches the swarm's processes, follows the ledger and shows both."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from chaos.run.engine import Engine
from chaos.run.experiment import Experiment
from chaos.run.interrupt import Interrupt
from chaos.run.played import Played
from chaos.run.rundir import RunDir
from chaos.run.swarm import SwarmProcess
from chaos.screen.live import Display, View
from load.history.control import ControlReader, ControlWriter, Hole, Phase
from load.history.ledger import Ledger, LedgerReader
from load.history.writer import now_ns

LOOK_S: Final = 0.1
LEDGER_EVERY_S: Final = 0.5


class Monitor:
    """The state of a run while it lasts. The runner sets `phase`, `swarm`, `engine` and `planned`."""

    def __init__(self, experiment: Experiment, directory: RunDir, display: Display, interrupt: Interrupt) -> None:
        self.experiment = experiment
        self._display = display
        self._interrupt = interrupt
        self._phases = ControlReader(directory.history)
        self._ledger = LedgerReader(directory.history)
        self._counts: Ledger | None = None
        self._next_count_s = 0.0
        self.control = ControlWriter(directory.history / "runner.jsonl", process="runner")
        self.phase = "setup"
        self.planned = 0
        self.engine: Engine | Played | None = None
        self.swarm: SwarmProcess | None = None
        self.t0_ns: int | None = None
        """Time of the first planned send in ns, once the swarm has recorded it."""
        self.broken = False
        """True once a process of the swarm died."""
        self._writing = 0

    def until(self, condition: Callable[[], bool], *, timeout_s: float) -> bool:
        """Wait until the condition holds, an interruption comes or the time is up; returns True if it held."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if self._interrupt.asked or time.monotonic() > deadline_s:
                return False
            self.tick()
        return True

    def tick(self) -> None:
        """Check everything once, then wait LOOK_S."""
        if self.swarm is not None and self.phase in ("ramp", "steady", "quiesce"):
            for process, how in self.swarm.deaths():
                self.broken = True
                self._display.say(f"{process}: {how}")
                self.hole(process, how)
        for event in self._phases.poll():
            if isinstance(event, Phase) and event.name == "steady":
                self.t0_ns = event.t
                self._writing += 1
            elif isinstance(event, Phase) and event.name == "quiesce":
                self._writing -= 1
        if time.monotonic() >= self._next_count_s:
            self._counts = self._ledger.update()
            self._next_count_s = time.monotonic() + LEDGER_EVERY_S
        self._display.show(self._view())
        time.sleep(LOOK_S)

    def hole(self, process: str, detail: str) -> None:
        """Record a gap in the history."""
        self.control.write(Hole(t=now_ns(), process=process, detail=detail))

    def drained(self) -> bool:
        """Return True once writing has stopped, every send is answered and every acked message shown.

        Counted as far as the ledger has read. Never true after a process of the swarm died.
        """
        if self._writing:
            return False
        self._counts = self._ledger.update()  # the files hold the last sends by now
        return self._ledger.all_drained()

    def swarm_is_gone(self) -> bool:
        """Return True if no process is left to send."""
        return self.swarm is None or self.swarm.ended or (self.broken and not self.swarm.workers_left)

    def close(self) -> None:
        self.control.close()
        self._ledger.close()

    def _view(self) -> View:
        return View(
            phase=self.phase,
            at_s=None if self.t0_ns is None else (now_ns() - self.t0_ns) / 1e9,
            duration_s=self.experiment.duration_s,
            ledger=self._counts,
            overdue=self._ledger.overdue(self.experiment.bounds.liveness_s),
            active=self.engine.active() if self.engine is not None else (),
            healed=self.engine.healed if self.engine is not None else 0,
            planned=self.planned,
        )
