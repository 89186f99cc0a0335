"""`petrel up`, `status`, `down` and `doctor`: a system by hand, without an experiment.

Each function does one command, prints for a person and returns the exit status. What a person can mend is raised as
UsageError or HarnessError, one line, for the command line to print.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chaos.errors import HARNESS, VALID, HarnessError, UsageError
from sut.deploy import system as deploy
from sut.deploy.doctor import Finding, examine
from sut.deploy.errors import AlreadyRunningError, DeployError
from sut.deploy.profiles import PROFILES
from sut.deploy.state import ProcessState
from sut.deploy.system import System
from sut.deploy.topology import Service

DEFAULT_DIRECTORY: Final = Path("runs/up")
DEFAULT_PROFILE: Final = "embedded"

_STYLES: Final = {"running": "green", "starting": "yellow", "held": "yellow", "stopped": "dim"}


def up(
    *,
    profile: str = DEFAULT_PROFILE,
    directory: Path = DEFAULT_DIRECTORY,
    variant: str | None = None,
    console: Console | None = None,
) -> int:
    """Start a system and leave it running. Raises UsageError, HarnessError; then nothing is left running."""
    console = console or Console()
    if profile not in PROFILES:
        raise UsageError(f"no profile {profile!r}; there are {', '.join(PROFILES)}")
    begun_s = time.monotonic()
    try:
        system = deploy.start(
            profile=profile, directory=directory, variant=variant, on_progress=lambda text: console.print(Text(text))
        )
    except AlreadyRunningError as error:
        raise HarnessError(f"{error}; stop it first with: petrel down") from None
    except DeployError as error:
        raise HarnessError(str(error)) from None
    console.print(_process_table(system, problems={}))
    console.print(Text(f"up in {time.monotonic() - begun_s:.1f} s in {directory}; API {system.topology.api_url}"))
    return VALID


def status(*, directory: Path = DEFAULT_DIRECTORY, console: Console | None = None) -> int:
    """Show every process and what is wrong with it. 0 when all are healthy, else 70. Raises HarnessError."""
    console = console or Console()
    system = _attach(directory)
    if not system.running:
        raise HarnessError(f"nothing runs in {directory}; start it with: petrel up")
    problems = system.problems()
    console.print(_process_table(system, problems=problems))
    return HARNESS if problems else VALID


def down(*, directory: Path = DEFAULT_DIRECTORY, console: Console | None = None) -> int:
    """Stop the system and whatever else belongs to its run. Harmless when it is stopped. Raises HarnessError."""
    console = console or Console()
    system = _attach(directory)
    was_running = system.running
    begun_s = time.monotonic()
    try:
        ended = system.stop()
    except DeployError as error:
        raise HarnessError(str(error)) from None
    if was_running:
        console.print(Text(f"down in {time.monotonic() - begun_s:.1f} s"))
    elif ended:
        console.print(Text(f"ended what was left of it: {', '.join(ended)}"))
    else:
        console.print(Text(f"nothing runs in {directory}"))
    return VALID


def doctor(*, directory: Path = DEFAULT_DIRECTORY, console: Console | None = None) -> int:
    """Say what this machine has and lacks, and what to do. 0 when nothing that is needed is missing, else 70."""
    console = console or Console()
    findings = examine(directory.absolute())
    table = Table("", "what", "found", "what to do", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(_mark(finding), finding.what, Text(finding.found), Text(finding.remedy))
    console.print(table)
    return VALID if all(finding.good or not finding.needed for finding in findings) else HARNESS


def _attach(directory: Path) -> System:
    try:
        return System.attach(directory)
    except DeployError as error:
        raise HarnessError(str(error)) from None


def _mark(finding: Finding) -> Text:
    if finding.good:
        return Text("ok", "green")
    return Text("missing", "bold red") if finding.needed else Text("limited", "yellow")


def _process_table(system: System, *, problems: dict[str, str]) -> Table:
    table = Table("process", "status", "pid", "memory", "up", "restarts", "ports", "health", box=None, pad_edge=False)
    for name, process in system.state().items():
        health = Text(problems[name], "red") if name in problems else Text("healthy", "green")
        table.add_row(*_row(system.topology.service(name), process), health)
    return table


def _row(service: Service, process: ProcessState) -> tuple[str | Text, ...]:
    memory, age = "", ""
    if process.pid:
        try:
            seen = psutil.Process(process.pid)
            memory = f"{seen.memory_info().rss / 1e6:.0f} MB"
            age = f"{time.time() - seen.create_time():.0f} s"
        except psutil.Error:
            pass
    ports = " ".join(f"{role}:{port}" for role, port in service.ports.items())
    status = Text(process.status, _STYLES[process.status])
    return service.name, status, str(process.pid or ""), memory, age, str(process.restarts), ports
