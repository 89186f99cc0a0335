"""Faults that people ask for on the page: one now, or those of an experiment's schedule, carried out by engines."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from chaos.errors import HarnessError, UsageError
from chaos.faults import FAULTS, undo
from chaos.faults.fault import describe
from chaos.faults.undo import UndoLedger
from chaos.run import experiment as experiments
from chaos.run import inject as hand
from chaos.run import schedule as schedules
from chaos.run.engine import Engine
from chaos.run.schedule import PlannedFault, Schedule
from load.drive.desk import Order
from load.history.control import Fault as FaultLine
from load.history.control import Plan
from load.history.writer import now_ns
from sut.deploy.supervise.watchdog import Watchdog
from sut.deploy.system import System

Tell = Callable[[str, object], None]
KEPT: Final = 200
"""Injections that the page still lists; the history has all."""
HEAL_S: Final = 40.0
"""How long the end waits for engines to heal what they broke."""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One fault, whether it can be done here, and at what."""

    name: str
    kind: str
    does: str
    text: str
    targets: tuple[str, ...]
    options: dict[str, float]
    why_not: str | None


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment whose faults can be carried out here."""

    name: str
    summary: str
    users: int
    duration_s: float
    least_s: float
    """The shortest run that holds all of its faults."""


class Offers(msgspec.Struct, frozen=True, kw_only=True):
    """What the page may break or run in this system."""

    profile: str
    faults: list[Offer]
    experiments: list[Shipped]


class Injection(msgspec.Struct, kw_only=True):
    """One fault that was asked for, as the page shows it. Times are seconds since the epoch, by the run's clock."""

    id: str
    name: str
    target: str
    for_s: float
    run: str
    planned_s: float | None = None
    state: str = "planned"
    """planned, injecting, in force, healing, healed, not healed, no effect, skipped."""
    injected_s: float | None = None
    healed_s: float | None = None
    proof: str = ""
    healed: str = ""


class Injections:
    """Everything that the page breaks in one system."""

    def __init__(self, system: System, *, tell: Tell) -> None:
        """Start the watchdog that heals after a SIGKILL. Raises HarnessError if it cannot start."""
        self._system, self._tell = system, tell
        directory = system.topology.path
        try:
            self._watchdog = Watchdog(system.topology.run_id, directory, spare=True)
            self._ledger = UndoLedger(directory / "undo.jsonl")
        except OSError as error:
            raise HarnessError(f"{error.filename or directory}: {error.strerror}") from None
        self._lock = threading.RLock()
        self._listed: dict[str, Injection] = {}
        self._engines: dict[str, tuple[Engine, threading.Thread]] = {}
        self._drawn: Schedule | None = None
        self._run: Path | None = None
        self._count = 0
        tell("offers", offers(system))
        self.publish()

    def follow(self, run: str) -> None:
        """A test goes on there, whose history gets what happens; empty: none does."""
        self._run = Path(run) if run else None

    def obey(self, order: Order) -> str:
        """Do as the page asks. Returns what was done, in words. Raises UsageError."""
        match order.do:
            case "inject":
                return self._inject(order)
            case "heal":
                return self.heal(order.id)
            case "draw":
                return self._draw(order)
            case "begin":
                return self._begin(order.t0_ns)
            case _:
                return self._drop()

    def heal(self, injection: str = "") -> str:
        """Heal one injection, or all that are in force; they are proven healed later. Raises UsageError."""
        with self._lock:
            if not injection:  # a schedule that breaks nothing just now goes on
                chosen = [pair for key, pair in self._engines.items() if pair[0].active() or self._is_to_come(key)]
            elif injection in self._engines:
                chosen = [self._engines[injection]]
            else:
                raise UsageError(f"{injection} is not in force")
        for engine, _ in chosen:
            engine.stop()
        if not chosen:
            return hand_heal(self._system, self._ledger)
        return f"healing {injection or 'all'}"

    def publish(self) -> None:
        """Tell the page what is broken now, and what was."""
        with self._lock:
            for key, (engine, thread) in list(self._engines.items()):
                for active in engine.active():
                    item = self._listed.get(active.fault)
                    if item is not None and (active.healing or item.state == "planned"):
                        item.state = "healing" if active.healing else "injecting"
                if not thread.is_alive():
                    del self._engines[key]
            self._tell("injections", list(self._listed.values())[-KEPT:])
            self._tell("plan", self._plan())

    def close(self) -> None:
        """Heal everything; what could not be healed in time is the watchdog's."""
        with self._lock:
            engines = list(self._engines.values())
        for engine, _ in engines:
            engine.stop()
        for _, thread in engines:
            thread.join(HEAL_S)
        self._ledger.close()
        mine = f"{hand.BY_HAND}{os.getpid()}"
        if not any(one.undo.startswith(mine) for one in undo.pending(self._system.topology.path / "undo.jsonl")):
            self._watchdog.done()

    def _inject(self, order: Order) -> str:
        planned = hand.plan(self._system, order.fault, order.target, for_s=order.for_s, options=order.options)
        planned = msgspec.structs.replace(planned, fault=self._next())
        with self._lock:
            if any(item.target == planned.target and item.name == planned.name for item in self._in_force()):
                raise UsageError(f"{planned.name} on {planned.target} is in force already")
            self._start(planned.fault, (planned,), t0_ns=now_ns())
        return f"injecting {planned.name} into {planned.target} for {planned.for_s:g} s"

    def _draw(self, order: Order) -> str:
        with self._lock:
            if any(key.startswith("plan-") for key in self._engines):
                raise UsageError("an experiment is being carried out already")
            self._drawn = draw(self._system, order.experiment, seed=order.seed, duration_s=order.duration_s)
            self.publish()
            if left := schedules.left_out(self._drawn):
                return f"left out, as they do not fit or cannot be done here: {', '.join(left)}"
            return ""

    def _begin(self, t0_ns: int) -> str:
        with self._lock:
            if self._drawn is None:
                raise UsageError("no experiment was drawn")
            prefix = f"{hand.BY_HAND}{os.getpid()}-"
            faults = tuple(
                msgspec.structs.replace(one, fault=f"{prefix}{one.fault}-{self._count}") for one in self._drawn.faults
            )
            self._count += 1
            self._start(f"plan-{self._count}", faults, t0_ns=t0_ns)
        return f"{len(faults)} faults are planned"

    def _drop(self) -> str:
        with self._lock:
            self._drawn = None
            chosen = [pair for key, pair in self._engines.items() if key.startswith("plan-")]
        for engine, _ in chosen:
            engine.stop()
        self.publish()
        return ""

    def _next(self) -> str:
        self._count += 1
        return f"{hand.BY_HAND}{os.getpid()}-{self._count}"

    def _is_to_come(self, key: str) -> bool:
        """True if a person asked for this injection, and it is not in force yet."""
        return key in self._listed and self._listed[key].state in ("planned", "injecting")

    def _in_force(self) -> list[Injection]:
        return [item for item in self._listed.values() if item.state in ("injecting", "in force", "healing")]

    def _start(self, key: str, faults: tuple[PlannedFault, ...], *, t0_ns: int) -> None:
        run, by_plan = self._run, key.startswith("plan-")
        for one in faults:
            self._listed[one.fault] = Injection(
                id=one.fault, name=one.name, target=one.target, for_s=one.for_s, run=run.name if run else "",
                planned_s=t0_ns / 1e9 + one.at_s if by_plan else None,
            )  # fmt: skip
        engine = Engine(
            faults, world=hand.world_of(self._system), ledger=self._ledger, lines=_Lines(self, run, by_plan),
            now_ns=now_ns, t0_ns=t0_ns, alone=False,
        )  # fmt: skip
        thread = threading.Thread(target=engine.run, name=key, daemon=True)
        self._engines[key] = (engine, thread)
        thread.start()

    def saw(self, event: FaultLine) -> None:
        """Take over one step of an engine."""
        with self._lock:
            item = self._listed[event.fault]
            if event.phase == "inject":
                item.injected_s, item.proof = event.t / 1e9, event.evidence
                item.state = "in force" if event.ok else "no effect"
            elif event.phase == "heal":
                item.healed_s, item.healed = event.t / 1e9, event.evidence
                item.state = ("healed" if item.state != "no effect" else "no effect") if event.ok else "not healed"
            else:
                item.state, item.proof = "skipped", event.evidence
        self.publish()

    def _plan(self) -> object:
        if self._drawn is None:
            return None
        drawn = self._drawn
        return {
            "experiment": drawn.experiment.name, "seed": drawn.seed, "duration_s": drawn.experiment.duration_s,
            "faults": [{"name": f.name, "target": f.target, "at_s": f.at_s, "for_s": f.for_s} for f in drawn.faults],
        }  # fmt: skip


class _Lines:
    """Where an engine's steps go: to the list of the page, and to the history of the test that goes on."""

    def __init__(self, injections: Injections, run: Path | None, by_plan: bool) -> None:
        self._injections, self._run, self._by_plan = injections, run, by_plan

    def write(self, event: Plan | FaultLine) -> None:
        """Take one step; raises OSError. Only what an experiment planned is recorded as a plan."""
        if isinstance(event, Plan):
            if self._by_plan:
                hand.record(self._run, event)
            return
        hand.record(self._run, event)
        self._injections.saw(event)


def offers(system: System) -> Offers:
    """Return every fault with its targets in this system, and the experiments that have one of them."""
    topology, faults = system.topology, []
    for name, fault in FAULTS.items():
        said, reason = describe(fault), hand.why_not(system, name)
        targets = () if reason else fault.targets(topology)
        faults.append(
            Offer(name=name, kind=said.kind, does=said.summary, text=said.text, targets=targets, options=said.options,
                  why_not=reason)
        )  # fmt: skip
    possible = {one.name for one in faults if one.why_not is None}
    shipped = []
    for name in experiments.names():
        one = experiments.for_profile(experiments.load(name), topology.profile)
        if any(spec.name in possible for spec in one.faults):
            shipped.append(
                Shipped(name=name, summary=one.summary, users=one.users, duration_s=one.duration_s,
                        least_s=schedules.longest_s(one))
            )  # fmt: skip
    return Offers(profile=topology.profile, faults=faults, experiments=shipped)


def draw(system: System, name: str, *, seed: int, duration_s: float) -> Schedule:
    """Return the faults of a shipped experiment, drawn for this system. Raises UsageError."""
    if name not in experiments.names():
        raise UsageError(f"no experiment {name!r}; there are {', '.join(experiments.names())}")
    profile = system.topology.profile
    wanted = experiments.for_profile(experiments.load(name), profile)
    wanted = msgspec.structs.replace(wanted, duration_s=duration_s)
    schedules.check_fits(wanted)
    targets = {fault: FAULTS[fault].targets(system.topology) for fault in FAULTS if hand.why_not(system, fault) is None}
    for spec in wanted.faults:
        if spec.name in targets and not set(spec.targets) <= set(targets[spec.name]):
            targets.pop(spec.name)
    return schedules.plan(wanted, targets=targets, seed=seed, profile=profile)


def hand_heal(system: System, ledger: UndoLedger) -> str:
    """Take the steps that a process which is gone has left undone. Returns what was done, in words."""
    left = undo.pending(system.topology.path / "undo.jsonl")
    failures: list[str] = []
    for promise in left:
        failed = undo.apply(promise.steps, hand.world_of(system))
        failures += failed
        if not failed:
            ledger.done(promise.undo)
    if failures:
        raise UsageError("; ".join(failures))
    return f"healed {len(left)} left by others" if left else "nothing is injected"
