"""`petrel up`, `status`, `down` and `doctor`: run a system by hand, without an experiment.

Each function runs one command, prints for a person and returns the exit status. Problems that a person can fix are
raised as UsageError or HarnessError, one line, which the command line prints.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from chaos.cli.command import DIRECTORY
from chaos.cli.say import print_json
from chaos.errors import HARNESS, VALID, HarnessError, UsageError, no_such
from chaos.run.interrupt import Aborted, Interrupt, Interrupted
from chaos.run.processes import process_table
from chaos.screen.console import for_people
from chaos.screen.startup import Startup
from sut.deploy import system as deploy
from sut.deploy.errors import AlreadyRunningError, DeployError
from sut.deploy.net.packets import Packets
from sut.deploy.probes.doctor import Finding, disk, examine
from sut.deploy.probes.remains import remains
from sut.deploy.profiles import PROFILES
from sut.deploy.servers.external import Servers
from sut.deploy.supervise.reaper import members
from sut.deploy.supervise.state import read_state
from sut.deploy.system import System

DEFAULT_PROFILE: Final = "embedded"
CLOSED_S: Final = 5.0
"""Seconds that killed processes may still be visible on a busy machine."""


def up(
    *,
    profile: str = DEFAULT_PROFILE,
    directory: Path = DIRECTORY,
    variant: str | None = None,
    servers: Servers | None = None,
    tls: bool = False,
    console: Console | None = None,
) -> int:
    """Start a system and leave it running. Raises UsageError, HarnessError; then nothing is left running."""
    console = console or for_people()
    if profile not in PROFILES:
        raise UsageError(no_such("profile", profile, PROFILES))
    room = disk(directory.absolute(), profile)
    if not room.good:
        told = f"free disk: {room.found}; {room.remedy}"
        if room.needed:
            raise HarnessError(told)
        console.print(Text(told, "yellow"), soft_wrap=True)
    begun_s = time.monotonic()
    try:
        with Interrupt() as interrupt, Startup(console) as startup, interrupt.raising():
            system = deploy.start(
                profile=profile,
                directory=directory,
                variant=variant,
                servers=servers,
                tls=tls,
                on_progress=startup.progress,
                on_waiting=startup.waiting,
            )
    except AlreadyRunningError as error:
        raise HarnessError(f"{error}; stop it first with: {hint('down', directory)}") from None
    except DeployError as error:
        raise HarnessError(str(error)) from None
    except (Interrupted, Aborted):
        raise HarnessError("interrupted; nothing of it is left") from None
    _print_table(console, system, problems={})
    console.print(Text(f"up in {time.monotonic() - begun_s:.1f} s in {directory}; API {system.topology.api_url}"))
    return VALID


def status(*, directory: Path = DIRECTORY, console: Console | None = None) -> int:
    """Show every process and its problem. Returns 0 if all are healthy, else 70. Raises HarnessError."""
    console = console or for_people()
    system = running(directory)
    problems = system.problems()
    _print_table(console, system, problems=problems)
    return HARNESS if problems else VALID


def down(*, directory: Path = DIRECTORY, console: Console | None = None) -> int:
    """Stop the system and all processes of its run, and check that nothing remains. Raises HarnessError.

    Does nothing if it is stopped.
    """
    console = console or for_people()
    system = attach(directory)
    was_running = system.running
    begun_s = time.monotonic()
    try:
        ended = system.stop()
        Packets(system.topology.run_id).clear()
    except DeployError as error:
        raise HarnessError(str(error)) from None
    # The kernel closes the ports of a killed process a moment after the process is gone.
    deadline_s = time.monotonic() + CLOSED_S
    while (left := remains(system.topology)) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    if left:
        raise HarnessError(f"stopped, but it left: {', '.join(left)}")
    if was_running:
        took = f"down in {time.monotonic() - begun_s:.1f} s"
        here = "process, open port, mount or packet rule"
        what = "process, container or network" if system.topology.contained else here
        console.print(Text(f"{took}; no {what} of it is left"), soft_wrap=True)
    elif ended:
        console.print(Text(f"ended what was left of it: {', '.join(ended)}"))
    else:
        console.print(Text(f"nothing runs in {directory}"))
    return VALID


def doctor(
    *,
    profile: str = DEFAULT_PROFILE,
    directory: Path = DIRECTORY,
    console: Console | None = None,
    as_json: bool = False,
) -> int:
    """Show what this machine has and lacks for a profile, and the remedies.

    Returns 0 if nothing needed is missing, else 70.
    """
    findings = examine(directory.absolute(), profile)
    status = VALID if all(finding.good or not finding.needed for finding in findings) else HARNESS
    if as_json:
        print_json([finding._asdict() for finding in findings])
        return status
    console = console or for_people()
    table = Table("", "what", "found", "what to do", box=None, pad_edge=False)
    table.columns[2].overflow = "fold"
    for finding in findings:
        table.add_row(_mark(finding), finding.what, Text(finding.found), Text(finding.remedy))
    console.print(table)
    return status


def attach(directory: Path) -> System:
    """Return the system of a directory, running or not. Raises HarnessError; UsageError if it is a copied directory."""
    if not (directory / "topology.json").exists():
        raise HarnessError(f"no system in {directory}; start one with: {hint('up', directory)}")
    try:
        system = System.attach(directory)
    except DeployError as error:
        raise HarnessError(str(error)) from None
    original = system.topology.path
    if original.exists() and not original.samefile(directory):
        raise UsageError(f"{directory} is a copy; the system it names is in {original}")
    return system


def running(directory: Path) -> System:
    """Return the system that runs in a directory. Raises HarnessError, UsageError."""
    system = attach(directory)
    if system.running:
        return system
    if left := members(system.topology.run_id):
        raise HarnessError(
            f"its supervisor is gone; processes left: {len(left)}; end them with: {hint('down', directory)}"
        )
    raise HarnessError(f"nothing runs in {directory}; start it with: {hint('up', directory)}")


def hint(command: str, directory: Path) -> str:
    """Return the command line of a command for this directory."""
    where = "" if directory == DIRECTORY else f" --dir {shlex.quote(str(directory))}"
    return f"petrel {command}{where}"


def _mark(finding: Finding) -> Text:
    if finding.good:
        return Text("ok", "green")
    return Text("missing", "bold red") if finding.needed else Text("limited", "yellow")


def _print_table(console: Console, system: System, *, problems: dict[str, str]) -> None:
    now = read_state(system.topology.path)
    supervisor_pid = now.supervisor_pid if now is not None and system.running else 0
    table = process_table(system.topology, system.state(), supervisor_pid=supervisor_pid, problems=problems)
    console.print(table)
