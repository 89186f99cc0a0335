"""A fault by hand, in a system that is up: inject, prove, hold, heal, prove, as the engine does it in a run.

What happens is told as it happens. If a test by hand goes on in that system, its history gets the fault, so its verdict
and its report know of it. The undo steps are in DIR/undo.jsonl: a watchdog takes them if this process is killed, and
`petrel heal` takes them at any time.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import psutil

from chaos.errors import HARNESS, UNKNOWN, VALID, HarnessError, UsageError, no_such
from chaos.faults import FAULTS, World, undo
from chaos.faults.fault import unavailable
from chaos.faults.undo import UndoLedger
from chaos.faults.world import containers_of
from chaos.run import manifest, sketch
from chaos.run.engine import Engine
from chaos.run.interrupt import Interrupt
from chaos.run.rundir import RunDir
from chaos.run.schedule import PlannedFault
from load.history.control import ControlWriter, Plan
from load.history.control import Fault as FaultLine
from load.history.writer import now_ns
from sut.deploy.errors import DeployError
from sut.deploy.net.links import Links
from sut.deploy.net.packets import Packets
from sut.deploy.supervise.watchdog import Watchdog
from sut.deploy.system import System

BY_HAND: Final = "hand-"
"""The name of an injection by hand begins so; the pid of its process follows."""
DESK: Final = "chaos.run.desk"
"""The module of the process that injects for the web page; its pid and a number follow BY_HAND. SIGUSR1: heal all."""
SYSTEM: Final = "PETREL_SYSTEM"
"""Environment variable of the actions of an experiment that `petrel run` plays: the directory of its system."""
LONGEST_S: Final = 3600.0
POLL_S: Final = 0.1
HEAL_S: Final = 30.0
"""How long `heal` waits for the process of an injection to heal it."""


class Told:
    """Where the steps of an injection go: to the terminal, and to the history of a test that is under way."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self._say = say
        self.run_dir = open_test(directory)
        self.bitten = self.healed = False

    def write(self, event: Plan | FaultLine) -> None:
        """Tell and record one step. A plan is neither told nor recorded: nobody planned this."""
        if isinstance(event, Plan):
            return
        good = {"inject": "took effect", "heal": "healed", "skip": "not injected"}[event.phase]
        bad = {"inject": "took no effect", "heal": "not seen healed", "skip": "not injected"}[event.phase]
        self._say(f"{good if event.ok else bad}: {event.evidence}")
        self.bitten |= event.phase == "inject" and event.ok
        self.healed |= event.phase == "heal" and event.ok
        record(self.run_dir, event)


def record(run_dir: Path | None, event: Plan | FaultLine) -> None:
    """Append to the history of a test, unless there is none or it is closed meanwhile. Raises OSError."""
    if run_dir is None or (run_dir / manifest.NAME).exists():
        return
    writer = ControlWriter(run_dir / "history" / f"inject-{os.getpid()}.jsonl", process="inject")
    try:
        writer.write(event)
    finally:
        writer.close()


def open_test(directory: Path) -> Path | None:
    """Return the run directory of the newest test by hand in this system that is not closed; None if there is none.

    To an action of an experiment that `petrel run` plays, that is the run itself.
    """
    places = directory.glob("swarm-*/history/meta.jsonl")
    if os.environ.get(SYSTEM) == str(directory):
        places = directory.glob("history/meta.jsonl")
    open_ = [path.parent.parent for path in places]
    open_ = [path for path in open_ if not (path / manifest.NAME).exists()]
    return max(open_, key=lambda path: (path / "history" / "meta.jsonl").stat().st_mtime, default=None)


def plan(system: System, name: str, target: str | None, *, for_s: float, options: Mapping[str, float]) -> PlannedFault:
    """Return the injection. Raises UsageError: no such fault, target or option, or it cannot be done here."""
    directory = system.topology.path
    if RunDir(directory).schedule.exists() and os.environ.get(SYSTEM) != str(directory):
        raise UsageError(f"{directory} is a run: its schedule breaks it; inject into a system of petrel up")
    if name not in FAULTS:
        raise UsageError(no_such("fault", name, FAULTS))
    fault, topology = FAULTS[name], system.topology
    if (reason := why_not(system, name)) is not None:
        raise UsageError(f"{name} cannot be injected here: {reason}")
    targets = fault.targets(topology)
    if target is None:
        raise UsageError(f"{name} needs a target: {', '.join(targets)}")
    if target not in targets:
        raise UsageError(no_such(f"target of {name}", target, targets))
    if not 0 < for_s <= LONGEST_S:
        raise UsageError(f"--for is above 0 and at most {LONGEST_S:g} seconds, not {for_s:g}")
    for option in options:
        if option not in fault.options:
            raise UsageError(no_such(f"option of {name}", option, fault.options))
    return PlannedFault(
        fault=f"{BY_HAND}{os.getpid()}", name=name, target=target, at_s=0, for_s=for_s, options=dict(options)
    )


def why_not(system: System, name: str) -> str | None:
    """Return the reason why a fault cannot be injected into this system; None if it can."""
    topology = system.topology
    return unavailable(FAULTS[name], topology=topology, lacks=sketch.lacks_of(topology))


def inject(system: System, planned: PlannedFault, *, say: Callable[[str], None]) -> int:
    """Inject, hold and heal; the first Ctrl-C heals at once. Returns 0 if it took effect and was healed, else 2 or 70.

    Raises HarnessError.
    """
    directory = system.topology.path
    told = Told(directory, say)
    try:
        watchdog = Watchdog(system.topology.run_id, directory, spare=True)
        ledger = UndoLedger(directory / "undo.jsonl")
    except OSError as error:
        raise HarnessError(f"{error.filename or directory}: {error.strerror}") from None
    engine = Engine(
        (planned,), world=world_of(system), ledger=ledger, lines=told, now_ns=now_ns, t0_ns=now_ns(), alone=False
    )
    where = "" if told.run_dir is None else f"; recorded in {told.run_dir}"
    say(f"{planned.name} on {planned.target} for {planned.for_s:g} s{where}; Ctrl-C heals it now")
    thread = threading.Thread(target=engine.run, daemon=True)
    with Interrupt() as interrupt:
        thread.start()
        while thread.is_alive():
            if interrupt.asked:
                engine.stop()
            thread.join(POLL_S)
    ledger.close()
    if not engine.errors and not _promised(directory, planned.fault):
        watchdog.done()
    if engine.errors:
        raise HarnessError("; ".join(engine.errors))
    if told.bitten and not told.healed:
        return HARNESS
    return VALID if told.bitten else UNKNOWN


def heal(system: System, *, say: Callable[[str], None]) -> int:
    """Heal everything that is injected now. Returns 0, or 70 if something could not be healed; `say` hears what.

    The process of an injection heals it, where it lives, so that its proof is recorded.
    """
    directory = system.topology.path
    ledger_path = directory / "undo.jsonl"
    promises = undo.pending(ledger_path)
    if not promises:
        say("nothing is injected")
        return VALID
    waiting = [promise.undo for promise in promises if _told_to_heal(promise.undo)]
    deadline_s = time.monotonic() + HEAL_S
    while any(_promised(directory, name) for name in waiting) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    ledger, failures = UndoLedger(ledger_path), []
    left = undo.pending(ledger_path)
    for promise in left:
        failed = undo.apply(promise.steps, world_of(system))
        failures += failed
        if not failed:
            ledger.done(promise.undo)
    ledger.close()
    say(f"healed: {', '.join(promise.undo for promise in promises)}" if not failures else "; ".join(failures))
    return HARNESS if failures else VALID


def _promised(directory: Path, name: str) -> bool:
    return any(promise.undo == name for promise in undo.pending(directory / "undo.jsonl"))


def _told_to_heal(name: str) -> bool:
    """Tell the process of this injection to heal it. False: it is no injection by hand, or its process is gone."""
    pid = name.removeprefix(BY_HAND).partition("-")[0]
    if not name.startswith(BY_HAND) or not pid.isdecimal():
        return False
    try:
        process = psutil.Process(int(pid))
        command = process.cmdline()
        if DESK in command:
            process.send_signal(signal.SIGUSR1)
        elif "inject" in command:
            process.send_signal(signal.SIGTERM)
        else:  # another program has the pid now
            return False
    except psutil.Error:
        return False
    return True


def world_of(system: System) -> World:
    """Return the controls over a running system."""
    topology = system.topology
    try:
        containers = containers_of(topology)
    except DeployError as error:
        raise HarnessError(str(error)) from None
    return World(
        topology=topology,
        processes=system,
        links=Links(topology),
        packets=Packets(topology.run_id),
        containers=containers,
    )
