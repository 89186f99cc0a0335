"""Carries out a schedule: inject, prove, hold, heal, prove, for each fault at its time.

Every planned fault has a thread that waits for its time, so faults may overlap. Each step is written to the history as
it is seen. Every injected fault is healed before `run` returns, even after an exception or `stop`. A fault that could
not be armed (it is skipped) or injected, or had no visible effect, is recorded as such. That makes the verdict
unknown and never ends the run.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from chaos.errors import FaultError
from chaos.faults import FAULTS, Fault, World, undo
from chaos.faults.proofs.proof import Proof
from chaos.faults.undo import UndoLedger
from chaos.run.schedule import PlannedFault
from load.history.control import Fault as FaultLine
from load.history.control import Plan

LOOK_EVERY_S: Final = 0.1
HURRIED_HEAL_S: Final = 3.0
"""Seconds that a heal is watched once the engine was told to stop."""


class Lines(Protocol):
    """The destination of the history's control lines (load.history.control.ControlWriter is one)."""

    def write(self, event: Plan | FaultLine) -> None:
        """Append one line to the history."""


@dataclass(frozen=True, slots=True)
class Active:
    """A fault that is injected or being healed now."""

    fault: str
    name: str
    target: str
    healing: bool


class Engine:
    """One schedule's execution. `now_ns` is the clock of the history; `t0_ns` is when the schedule begins on it."""

    def __init__(
        self,
        faults: Iterable[PlannedFault],
        *,
        world: World,
        ledger: UndoLedger,
        lines: Lines,
        now_ns: Callable[[], int],
        t0_ns: int,
        alone: bool = True,
    ) -> None:
        """`alone`: nobody else breaks this system, so every packet rule that is left at the end is removed."""
        self._faults = tuple(faults)
        self._world = world
        self._ledger = ledger
        self._lines = lines
        self._now_ns = now_ns
        self._t0_ns = t0_ns
        self._alone = alone
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._active: dict[str, Active] = {}
        self.errors: list[str] = []
        """Errors of the harness itself, one line each."""
        self.healed = 0
        """Number of injections that were seen healed."""

    def run(self) -> None:
        """Run until the last fault is healed, or until `stop` was called and all are healed."""
        for planned in self._faults:
            self._lines.write(
                Plan(
                    t=self._now_ns(),
                    fault=planned.fault,
                    name=planned.name,
                    target=planned.target,
                    at_s=planned.at_s,
                    for_s=planned.for_s,
                    felt_s=planned.felt_s,
                )
            )
        threads = [
            threading.Thread(target=self._guarded, args=(planned,), name=planned.fault) for planned in self._faults
        ]
        try:
            for thread in threads:
                thread.start()
        except BaseException:
            self._stop.set()
            raise
        finally:
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            if self._alone:
                self._leave_no_rule()

    def stop(self) -> None:
        """Inject nothing more and heal everything now; `run` returns soon. For any thread or a signal handler."""
        self._stop.set()

    def active(self) -> tuple[Active, ...]:
        """Return the faults that are injected, or not yet seen healed."""
        with self._lock:
            return tuple(self._active.values())

    def _leave_no_rule(self) -> None:
        """Remove all packet rules. Heals remove their own; this covers a heal that failed."""
        try:
            self._world.packets.clear()
        except Exception as error:  # noqa: BLE001 (the run continues to its verdict)
            self.errors.append(str(error))

    def _guarded(self, planned: PlannedFault) -> None:
        try:
            self._live(planned)
        except Exception as error:  # noqa: BLE001 (one fault's failure must not end the others unhealed)
            self.errors.append(f"{planned.fault} {planned.name}: {type(error).__name__}: {error}")

    def _live(self, planned: PlannedFault) -> None:
        due_ns = self._t0_ns + round(planned.at_s * 1e9)
        if self._wait(due_ns):
            return
        fault = FAULTS[planned.name](self._world, planned.target, planned.options)
        try:
            steps = self._arm(fault)
        except FaultError as error:
            self._write(planned, "skip", Proof(ok=False, text=str(error)), t=self._now_ns())
            return
        if self._stop.is_set():
            return
        self._ledger.promise(planned.fault, steps)
        self._show(planned, healing=False)
        injected_ns = self._now_ns()
        effect = Proof(ok=False, text="not injected")
        try:
            try:
                fault.inject()
                effect = self._look(fault.effective, fault.effect_timeout_s, hurry=True)
            except FaultError as error:
                effect = Proof(ok=False, text=str(error))
            self._write(planned, "inject", effect, t=injected_ns)
            if effect:
                self._wait(injected_ns + round(planned.for_s * 1e9))
        finally:
            self._heal(planned, fault, steps, effect)

    def _heal(self, planned: PlannedFault, fault: Fault, steps: tuple[undo.Undo, ...], effect: Proof) -> None:
        lasted = self._lasted(fault) if effect else effect
        self._show(planned, healing=True)
        failures = undo.apply(steps, self._world)
        if not failures:
            self._ledger.done(planned.fault)
        proof = self._look(fault.healed, HURRIED_HEAL_S if self._stop.is_set() else fault.heal_timeout_s)
        healed_ns = self._now_ns()
        if effect and not lasted:
            proof = Proof(ok=False, text=f"the effect had ended by itself: {lasted.text}; then: {proof.text}")
        elif effect and not _says(effect).startswith(_says(lasted)):
            proof = Proof(proof.ok, f"at the end of the hold: {lasted.text}; then: {proof.text}")
        if failures:
            proof = Proof(ok=False, text="; ".join([*failures, proof.text]))
        with self._lock:
            del self._active[planned.fault]
            self.healed += proof.ok
        self._write(planned, "heal", proof, t=healed_ns)

    def _lasted(self, fault: Fault) -> Proof:
        """Observe whether the damage still shows at the end of the hold. Never raises: the heal must follow."""
        if self._stop.is_set():
            return Proof(ok=True, text="")
        try:
            return fault.effective()
        except Exception as error:  # noqa: BLE001
            return Proof(ok=False, text=f"could not look: {error}")

    def _arm(self, fault: Fault) -> tuple[undo.Undo, ...]:
        """Return the undo steps once the target is healthy. Raises FaultError if it is not within `arm_timeout_s`."""
        deadline_s = time.monotonic() + fault.arm_timeout_s
        while True:
            try:
                return fault.arm()
            except FaultError:
                if time.monotonic() > deadline_s or self._stop.wait(LOOK_EVERY_S):
                    raise

    def _look(self, look: Callable[[], Proof], timeout_s: float, *, hurry: bool = False) -> Proof:
        """Look until it holds or the time is up; the last look counts. With `hurry`, `stop` ends it too."""
        begun_s = time.monotonic()
        deadline_s = begun_s + timeout_s
        while True:
            proof = look()
            if proof or time.monotonic() > deadline_s or (hurry and self._stop.is_set()):
                return Proof(proof.ok, f"{proof.text} ({time.monotonic() - begun_s:.1f} s after)")
            time.sleep(LOOK_EVERY_S)

    def _wait(self, until_ns: int) -> bool:
        """Sleep until that time; returns True if `stop` came first."""
        while (left_ns := until_ns - self._now_ns()) > 0:
            if self._stop.wait(left_ns / 1e9):
                return True
        return self._stop.is_set()

    def _show(self, planned: PlannedFault, *, healing: bool) -> None:
        with self._lock:
            self._active[planned.fault] = Active(planned.fault, planned.name, planned.target, healing)

    def _write(self, planned: PlannedFault, phase: Literal["inject", "heal", "skip"], proof: Proof, *, t: int) -> None:
        self._lines.write(
            FaultLine(
                t=t,
                fault=planned.fault,
                name=planned.name,
                target=planned.target,
                phase=phase,
                ok=proof.ok,
                evidence=proof.text,
            )
        )


def _says(proof: Proof) -> str:
    """Return the text without digits: counts and times differ from look to look."""
    return re.sub(r"\d+", "", proof.text)
