"""The terminal output while a system starts: which service is up, and what each of the others waits for.

On a terminal: a table that is redrawn a few times a second, one row per service. Elsewhere: a plain line when a service
is healthy, and every ten seconds a line of the services still waited for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from chaos.screen.console import Redrawn
from sut.deploy.supervise.state import ProcessState

PLAIN_EVERY_S: Final = 10.0
REFRESH_PER_S: Final = 4
_FRAME_ROWS: Final = 3
"""The heading, a line for the rows left out, and the cursor's line."""


class Startup(Redrawn):
    """A context for the time of one start; its methods are the callbacks of sut.deploy.system.start."""

    def __init__(self, console: Console, *, each: bool = True) -> None:
        """Without `each`, no line is printed for a service that becomes healthy."""
        self._each = each
        self._waiting: Mapping[str, str] = {}
        self._processes: Mapping[str, ProcessState] = {}
        self._healthy_s: dict[str, float] = {}
        """Seconds from a process's start to its first healthy check."""
        self._told_s = time.monotonic()
        super().__init__(console, refresh_per_second=REFRESH_PER_S, get_renderable=self.table)

    def progress(self, text: str) -> None:
        """Print one line that stays."""
        self.console.print(Text(text), soft_wrap=True)

    def waiting(self, waiting: Mapping[str, str], processes: Mapping[str, ProcessState]) -> None:
        """Take the present state; arguments as of sut.deploy.system.OnWaiting."""
        self._waiting, self._processes = dict(waiting), dict(processes)
        for name, process in processes.items():
            if name not in waiting and name not in self._healthy_s:
                self._healthy_s[name] = _age_s(process)
                if self.live is None and self._each:
                    took = f" after {self._healthy_s[name]:.1f} s" if process.pid else ""
                    self.progress(f"{name} is healthy{took}")
        if self.live is None and waiting and time.monotonic() - self._told_s >= PLAIN_EVERY_S:
            self._told_s = time.monotonic()
            self.progress(f"waiting for {_told(waiting)}")

    def table(self) -> Table:
        """Return one row per service; on a terminal with too few rows only the services still waited for."""
        table = Table("service", "state", "pid", "seconds", "waits for", box=None, pad_edge=False)
        names = list(dict.fromkeys((*self._processes, *self._waiting)))
        shown = names if len(names) + _FRAME_ROWS <= self.console.height else list(self._waiting)
        for name in shown:
            table.add_row(*self._row(name))
        if len(shown) < len(names):
            table.add_row(Text(f"{len(names) - len(shown)} more", "dim"), Text("healthy", "green"))
        return table

    def _row(self, name: str) -> tuple[str | Text, ...]:
        process = self._processes.get(name, ProcessState())
        pid = str(process.pid or "")
        if name in self._healthy_s:
            return name, Text("healthy", "green"), pid, f"{self._healthy_s[name]:.1f}" if process.pid else "", ""
        age = f"{_age_s(process):.1f}" if process.pid else ""
        return name, Text(process.status, "yellow"), pid, age, Text(self._waiting.get(name, ""), no_wrap=True)


def _told(waiting: Mapping[str, str]) -> str:
    """Return the problems, each with all services that have it."""
    names: dict[str, list[str]] = {}
    for name, problem in waiting.items():
        names.setdefault(problem, []).append(name)
    return "; ".join(f"{', '.join(who)}: {problem}" for problem, who in names.items())


def _age_s(process: ProcessState) -> float:
    """Return the seconds since the process began; 0 if it has not."""
    return max(0.0, time.time() - process.created_s) if process.created_s else 0.0
