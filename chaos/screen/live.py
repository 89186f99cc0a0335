"""The terminal output while a run lasts, and the verdict at its end.

On a terminal: a panel that is redrawn a few times a second. Elsewhere, and on a dumb terminal: a plain line every five
seconds and at each change. Everything goes to the console that the caller chose (standard error with --json).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from chaos.errors import printable
from chaos.screen.console import Redrawn, plain_table
from chaos.screen.startup import Startup
from load.history.control import PHASES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chaos.run.engine import Active
    from chaos.verdict.model import FaultResult, Verdict
    from load.history.ledger import Ledger
    from sut.deploy.supervise.state import ProcessState

PLAIN_EVERY_S: Final = 5.0
DRAW_EVERY_S: Final = 0.25
OVER: Final = ("final", "end")
"""Phases in which nobody is online to show anything."""
STYLES: Final = {"valid": "bold green", "invalid": "bold red", "unknown": "bold yellow"}
MAX_COUNTEREXAMPLES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The state of a run at one moment."""

    phase: str
    at_s: float | None
    """Seconds since t0; None before it."""
    duration_s: float
    ledger: Ledger | None = None
    overdue: int = 0
    """Deliveries whose deadline has passed."""
    active: tuple[Active, ...] = ()
    healed: int = 0
    planned: int = 0


class Display(Redrawn):
    """A context for the time of one run."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, auto_refresh=False)
        self._startup = Startup(console, each=False)
        self._drawn_s = 0.0
        self._plain_s = 0.0
        self._plain_key: tuple[str, ...] = ()

    def say(self, text: str) -> None:
        """Print one line that stays."""
        self.console.print(Text(text))

    def starting(self, waiting: Mapping[str, str], processes: Mapping[str, ProcessState]) -> None:
        """Draw the system before it is all healthy; arguments as of sut.deploy.system.OnWaiting."""
        self._startup.waiting(waiting, processes)
        if self.live is not None and time.monotonic() - self._drawn_s >= DRAW_EVERY_S:
            self._drawn_s = time.monotonic()
            self.live.update(self._startup.table(), refresh=True)

    def show(self, view: View) -> None:
        """Draw the present state, or print it as a line every PLAIN_EVERY_S and at each change."""
        if self.live is not None:
            self.live.update(_panel(view), refresh=True)
            return
        key = (view.phase, *(f"{fault.fault}{fault.healing}" for fault in view.active))
        if key != self._plain_key or time.monotonic() - self._plain_s >= PLAIN_EVERY_S:
            self._plain_key, self._plain_s = key, time.monotonic()
            self.console.print(Text(_line(view)), soft_wrap=True)


def _words(phase: str) -> str:
    return PHASES.get(phase, phase)


def _when(view: View) -> str:
    return "" if view.at_s is None else f"{max(view.at_s, 0):.0f} of {view.duration_s:.0f} s"


def _fault(fault: Active) -> str:
    return f"{fault.name} {fault.target}{' (healing)' if fault.healing else ''}"


def _counts(ledger: Ledger, view: View) -> list[tuple[str, str, str]]:
    """Return (label, number, style) of each count, in the order shown. Nothing is to be delivered once it is over."""
    overdue = view.overdue
    to_deliver = [] if view.phase in OVER else [("to deliver", f"{ledger.undelivered:,}", "")]
    return [
        ("online", f"{ledger.online:,}", "" if ledger.online else "dim"),
        ("sends", f"{ledger.sends:,}", ""),
        ("acked", f"{ledger.acked:,}", ""),
        ("delivered", f"{ledger.shown:,}", ""),
        ("unanswered", f"{ledger.unanswered:,}", ""),
        *to_deliver,
        ("duplicates", f"{ledger.duplicates:,}", "bold red" if ledger.duplicates else ""),
        ("overdue", f"{overdue:,}", "bold red" if overdue else "green"),
    ]


def _line(view: View) -> str:
    parts = [f"{_words(view.phase):<10}", _when(view)]
    if view.ledger is not None:
        parts += [f"{label} {number}" for label, number, _ in _counts(view.ledger, view)]
    if view.planned:
        parts.append(f"faults {view.healed}/{view.planned}")
    parts += [_fault(fault) for fault in view.active]
    return "  ".join(part for part in parts if part)


def _panel(view: View) -> Panel:
    head = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=view.duration_s, completed=max(0.0, view.at_s or 0.0), width=30)
    head.add_row(Text(_words(view.phase), "bold cyan"), bar, Text(_when(view)))
    rows: list[Table | Text] = [head]
    if view.ledger is not None:
        counts = Table.grid(padding=(0, 3))
        cells = _counts(view.ledger, view)
        counts.add_row(*(Text(label, "dim") for label, _, _ in cells))
        counts.add_row(*(Text(number, style) for _, number, style in cells))
        rows.append(counts)
    if view.planned:
        faults = Text(f"faults {view.healed} of {view.planned} healed", "dim")
        for fault in view.active:
            faults.append(f"   {_fault(fault)}", "yellow" if fault.healing else "bold red")
        rows.append(faults)
    return Panel(Group(*rows), title="petrel", title_align="left", border_style="dim")


def show_verdict(console: Console, verdict: Verdict, *, report: Path | None = None) -> None:
    """Print the verdict as tables, and the path of the report."""
    checks = plain_table("check", "verdict", "why")
    for check in verdict.checks:
        checks.add_row(check.name, Text(check.verdict, STYLES[check.verdict]), Text(printable(check.detail)))
    console.print(checks)
    for check in verdict.checks:
        for example in check.counterexamples[:MAX_COUNTEREXAMPLES] if check.verdict == "invalid" else ():
            console.print(Text(f"  {check.name}: {printable(example.text)}", "red"), soft_wrap=True)
    if verdict.faults:
        console.print()
        console.print(_fault_table(verdict.faults))
    counts, steady = verdict.counts, verdict.latency_ms.steady
    refusals = f"refused for now {counts.refusals:,} times, " if counts.refusals else ""
    console.print()
    for note in verdict.notes:
        console.print(Text(f"note: {note}", "yellow"), soft_wrap=True)
    console.print(
        Text(
            f"{counts.devices:,} devices, {counts.sends_acked:,} of {counts.sends_invoked:,} sends acked, {refusals}"
            f"{counts.deliveries:,} deliveries; lost {counts.lost}, duplicates {counts.duplicates}, "
            f"gaps {counts.gaps}, phantoms {counts.phantoms}; steady p50 {_ms(steady.p50)}, p99 {_ms(steady.p99)}"
        ),
        soft_wrap=True,
    )
    line = Text("verdict ").append(verdict.verdict, STYLES[verdict.verdict]).append(f"   seed {verdict.seed}")
    if report is not None:
        line.append(f"   {report}")
    console.print(line, soft_wrap=True)


def _fault_table(faults: tuple[FaultResult, ...]) -> Table:
    table = plain_table("fault", "target", "at", "healed", "recovery", "worst p99", "late, slowest", "proof")
    for fault in faults:
        proven = fault.effective and fault.healed
        table.add_row(
            Text(printable(fault.name)),
            Text(printable(fault.target)),
            _s(fault.injected_at_s),
            _s(fault.healed_at_s),
            _s(fault.recovery.felt_s),
            _felt_ms(fault.recovery.worst_p99_ms),
            f"{fault.recovery.late:,}, {_felt_ms(fault.recovery.worst_ms)}",
            Text("proven" if proven else printable(fault.evidence), "green" if proven else "yellow"),
        )
    return table


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"


def _felt_ms(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e3:.2f} s"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
