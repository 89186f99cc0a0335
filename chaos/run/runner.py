"""One run from start to verdict: a system, a swarm, the faults and the read-back; no process of it remains.

The order is fixed: watchdog, system, schedule, swarm; at t0 the engine begins. After the last send the run waits until
all is delivered and ends the swarm. Then it kills the sequencers once more, reads everything back from the store, ends
the system and judges. After an interruption the run skips to the steps that fit into the remaining time. `execute`
always returns or raises with no process of the run left.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from chaos.errors import ChaosError, HarnessError, UsageError
from chaos.faults import FAULTS, World
from chaos.faults.fault import unavailable
from chaos.faults.undo import UndoLedger
from chaos.faults.world import containers_of
from chaos.run import calibration, canary, cold, rundir, schedule, sketch, swarm
from chaos.run.engine import Engine
from chaos.run.experiment import Experiment
from chaos.run.interrupt import Interrupt, Interrupted
from chaos.run.monitor import Monitor
from chaos.run.played import Played
from chaos.run.rundir import RunDir
from chaos.run.sampler import Sampler
from chaos.run.schedule import Schedule
from chaos.run.swarm import ReadBack, SwarmProcess
from chaos.run.yamlfile import Mistake
from chaos.screen.live import Display
from load import workload as configs
from load.drive.machine import Beat
from load.history.control import Bounds, Meta
from load.history.provenance import provenance
from load.history.writer import now_ns
from sut import variants
from sut.deploy import system as deploy
from sut.deploy.elsewhere import Elsewhere
from sut.deploy.errors import DeployError
from sut.deploy.net.links import Links
from sut.deploy.net.packets import Packets
from sut.deploy.servers.external import Servers
from sut.deploy.servers.versions import versions
from sut.deploy.supervise.ending import end
from sut.deploy.supervise.watchdog import Watchdog
from sut.deploy.system import System

PER_S: Final = 500
"""Devices a second that connect or leave at the least, beyond the time of a small run."""
RAMP_SLACK_S: Final = 180.0
"""Seconds beyond the experiment's ramp until the first planned send. On a busy machine a thousand conversations on the
cluster take more than a minute to create."""
DRAIN_SLACK_S: Final = 5.0
"""Seconds beyond the liveness bound until the wait for deliveries is abandoned."""
DRAIN_BROKEN_S: Final = 5.0
"""Seconds of that wait if a process of the swarm is dead: its devices never show anything."""
SWARM_STOP_S: Final = 15.0
COLD_S: Final = 15.0
"""Seconds until killed sequencers are back."""
READ_BACK_S: Final = 60.0
READ_PER_S: Final = 50
"""Devices a second that are read back at the least, beyond that time."""
SYSTEM_STOP_S: Final = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A run to execute. With `replay`, exactly its faults; otherwise the seed draws them."""

    experiment: Experiment
    seed: int
    profile: str
    variant: str | None
    directory: Path
    replay: Schedule | None = None
    calibrate: bool = False
    """Lower the rate to what the machine carries, if the experiment asks for more. Never with `replay`."""
    servers: Servers | None = None
    """Servers that somebody else runs, used instead of our own."""
    elsewhere: Elsewhere | None = None
    """The system that somebody else started, driven instead of one of our own."""
    played: Path | None = None
    """An experiment of Chaos Toolkit, which breaks the system instead of a schedule."""


def execute(request: Request, *, display: Display, interrupt: Interrupt) -> RunDir:
    """Run the experiment and return its directory, to be judged. Raises UsageError, HarnessError, Aborted."""
    directory = rundir.make(request.directory)
    try:
        watchdog = Watchdog("", directory.path)
    except OSError as error:
        raise HarnessError(f"cannot start the watchdog: {error.strerror}") from None
    run = _Run(request, directory, display, interrupt)
    try:
        run.play()
    finally:
        run.clean_up()
        watchdog.done()
    run.hunt()
    return directory


class _Run:
    def __init__(self, request: Request, directory: RunDir, display: Display, interrupt: Interrupt) -> None:
        self._request = request
        self._experiment = request.experiment
        self._directory = directory
        self._provenance = provenance()
        self._say = display.say
        self._starting = display.starting
        self._interrupt = interrupt
        self._monitor = Monitor(request.experiment, directory, display, interrupt)
        self._system: System | None = None
        self._swarm: SwarmProcess | None = None
        self._read_back: ReadBack | None = None
        self._sampler: Sampler | None = None
        self._engine: Engine | Played | None = None
        self._engine_thread: threading.Thread | None = None
        self._undo: UndoLedger | None = None
        self._hunt: canary.Hunt | None = None

    def play(self) -> None:
        """Do everything but the clean-up. An interruption ends each wait, and skips the steps that have no use then."""
        self._write_meta()
        self._monitor.control.phase("setup")
        try:
            with self._interrupt.raising():
                system = self._start_system()
                self._provenance |= {"servers": versions(system.topology, system.state())}
                self._write_meta()
                self._calibrate(system)
        except Interrupted:
            self._say("interrupted before anything ran")
            return
        planned = self._plan(system)
        swarm_process = self._start_swarm(system, planned)
        if self._await_steady(swarm_process):
            self._start_engine(system, planned)
            self._await_last_send()
            if self._interrupt.asked:
                swarm_process.stop_writing()
                self._monitor.hole("runner", f"interrupted before the {self._experiment.duration_s:g} s were over")
            self._await_healed()
            self._await_drained()
        self._end_swarm(swarm_process)
        if self._monitor.t0_ns is not None:
            self._empty_memories(system)
            self._read_all_back(system)
            self._look_into_redis(system)

    def _write_meta(self) -> None:
        meta = Meta(
            t=now_ns(),
            experiment=self._experiment.name,
            profile=self._request.profile,
            variant=self._request.variant,
            seed=self._request.seed,
            duration_s=self._experiment.duration_s,
            bounds=msgspec.convert(msgspec.to_builtins(self._experiment.bounds), Bounds),
            checks=self._experiment.judged_by,
            push=self._experiment.push,
            manifest=True,
            provenance=self._provenance,
        )
        (self._directory.history / "meta.jsonl").write_bytes(msgspec.json.encode(meta) + b"\n")

    def _calibrate(self, system: System) -> None:
        """Take the rate that the machine carries, if the experiment asks for more and nobody wants it as asked."""
        request = self._request
        if not request.calibrate or request.replay is not None or not calibration.is_needed(self._experiment):
            return
        self._say("looking at what this machine carries")
        try:
            found = calibration.measure(
                self._experiment, system.topology, self._directory, system.environment(),
                seed=request.seed, over=lambda: self._interrupt.asked,
            )  # fmt: skip
        except ChaosError as error:
            self._say(f"not known what this machine carries: {error}")
            return
        if found is None:
            return
        self._say(found.line())
        if not found.carried:
            self._experiment = self._monitor.experiment = calibration.lowered(self._experiment, found)
            self._write_meta()

    def _start_system(self) -> System:
        driven = self._request.elsewhere
        try:
            if driven is not None:
                sketch.check_settings(self._experiment, driven.topology.settings)
                if away := driven.open():
                    self._say(f"not there: {', '.join(away)}")
                self._system = driven
                return driven
            self._system = deploy.start(
                profile=self._request.profile,
                directory=self._directory.path,
                variant=self._request.variant,
                settings=sketch.settings_of(self._experiment),
                servers=self._request.servers,
                on_progress=self._say,
                on_waiting=self._starting,
            )
        except DeployError as error:
            raise HarnessError(str(error)) from None
        return self._system

    def _plan(self, system: System) -> Schedule:
        topology = system.topology
        lacks = sketch.lacks_of(topology)
        why = {name: unavailable(fault, topology=topology, lacks=lacks) for name, fault in FAULTS.items()}
        planned = self._request.replay
        if planned is None:
            planned = schedule.plan(
                self._experiment,
                targets={name: FAULTS[name].targets(topology) for name, reason in why.items() if reason is None},
                seed=self._request.seed,
                profile=self._request.profile,
                variant=self._request.variant,
                first=variants.find(self._request.variant).shown_by if self._request.variant else "",
            )
            for name in schedule.left_out(planned):
                self._say(f"without {name}: {why[name] or 'the run is too short for it'}")
        for name in {fault.name for fault in planned.faults}:
            if why[name] is not None:
                raise HarnessError(f"cannot replay: {name} is not available: {why[name]}")
        try:
            schedule.check_targets(planned, {name: FAULTS[name].targets(topology) for name in FAULTS})
        except Mistake as error:
            raise UsageError(str(error)) from None
        schedule.save(planned, self._directory.schedule)
        self._monitor.planned = len(planned.faults)
        return planned

    def _start_swarm(self, system: System, planned: Schedule) -> SwarmProcess:
        driven = self._request.elsewhere
        allowed = tuple(sorted(driven.allowed)) if driven is not None else ()
        swarm.configure(self._experiment, system.topology, self._directory, planned.seed, allowed=allowed)
        self._monitor.phase = "ramp"
        self._swarm = self._monitor.swarm = SwarmProcess(self._experiment, self._directory, system.environment())
        self._sampler = Sampler(
            system,
            self._directory.metrics / "processes.jsonl",
            others=self._other_pids,
            tell=self._monitor.control.write,
        )
        self._sampler.start()
        beat = Beat("runner", self._monitor.control.write, time.sleep)
        threading.Thread(target=beat.run, args=(self._is_over,), name="beat", daemon=True).start()
        return self._swarm

    def _is_over(self) -> bool:
        """True after the phases in which a late wake-up of the runner matters."""
        return self._monitor.phase not in ("ramp", "steady")

    def _await_steady(self, swarm_process: SwarmProcess) -> bool:
        """Wait until t0 is known; returns False if interrupted. Raises HarnessError if the swarm fails or hangs."""
        monitor = self._monitor
        users = self._experiment.users
        limit_s = users / self._experiment.spawn_per_s + RAMP_SLACK_S + users / PER_S
        monitor.until(lambda: monitor.t0_ns is not None or monitor.broken, timeout_s=limit_s)
        if monitor.t0_ns is not None or self._interrupt.asked:
            return monitor.t0_ns is not None
        if monitor.broken:
            raise HarnessError(f"the swarm did not start: {swarm.last_line(swarm_process.log)}")
        raise HarnessError(f"the swarm was not ready within {limit_s:.0f} s; see {swarm_process.log}")

    def _start_engine(self, system: System, planned: Schedule) -> None:
        assert self._monitor.t0_ns is not None
        self._monitor.phase = "steady"
        self._engine = self._monitor.engine = self._make_engine(system, planned)
        self._engine_thread = threading.Thread(target=self._engine.run, name="engine", daemon=True)
        self._engine_thread.start()

    def _make_engine(self, system: System, planned: Schedule) -> Engine | Played:
        assert self._monitor.t0_ns is not None
        if self._request.played is not None:
            lines = self._monitor.control
            return Played(self._request.played, self._directory, system=system, lines=lines, say=self._say)
        self._undo = UndoLedger(self._directory.ledger)
        return Engine(
            planned.faults,
            world=World(
                topology=system.topology,
                processes=system,
                links=Links(system.topology),
                packets=Packets(system.topology.run_id),
                containers=containers_of(system.topology),
            ),
            ledger=self._undo,
            lines=self._monitor.control,
            now_ns=now_ns,
            t0_ns=self._monitor.t0_ns,
        )

    def _await_last_send(self) -> None:
        """Wait until the last planned send, or until no process is left to send."""
        assert self._monitor.t0_ns is not None
        end_ns = self._monitor.t0_ns + round(self._experiment.duration_s * 1e9)
        self._monitor.until(
            lambda: now_ns() >= end_ns or self._monitor.swarm_is_gone(), timeout_s=self._experiment.duration_s + 5
        )

    def _await_healed(self) -> None:
        """Wait until the engine is done by itself, or stop it if the run ends early."""
        assert self._engine is not None
        assert self._engine_thread is not None
        if not self._monitor.swarm_is_gone():
            longest_s = max(fault.effect_timeout_s + fault.heal_timeout_s for fault in FAULTS.values())
            thread = self._engine_thread
            self._monitor.until(lambda: not thread.is_alive(), timeout_s=longest_s)
        self._engine.stop()
        while self._engine_thread.is_alive():  # this takes seconds at most
            self._monitor.tick()
        for error in self._engine.errors:
            self._say(f"a fault failed inside the harness: {error}")

    def _await_drained(self) -> None:
        """Wait, within a bound, until every send is answered and every acked message shown."""
        self._monitor.phase = "quiesce"
        bound_s = DRAIN_BROKEN_S if self._monitor.broken else self._experiment.bounds.liveness_s + DRAIN_SLACK_S
        expired = self._interrupt.expiry(bound_s, keep_s=9.0)
        while not self._monitor.drained() and not expired():
            self._monitor.tick()

    def _end_swarm(self, swarm_process: SwarmProcess) -> None:
        self._monitor.phase = "final"
        if not swarm_process.stop(self._interrupt.expiry(SWARM_STOP_S + self._experiment.users / PER_S, keep_s=7.5)):
            self._monitor.hole("swarm", "it did not stop in time and was killed")

    def _empty_memories(self, system: System) -> None:
        """Restart the sequencers, so that the read-back comes from the store.

        Those of a system that is not ours stay; there it is awaited that they have stored everything.
        """
        expired = self._interrupt.expiry(COLD_S, keep_s=7.0)
        if expired():
            self._monitor.hole("sequencers", "no time was left to kill them before the read-back")
            return
        if self._request.elsewhere is not None:
            problem = cold.await_stored(system.topology, expired=expired, tick=self._monitor.tick)
        else:
            problem = cold.await_back(system, cold.kill_sequencers(system), expired=expired, tick=self._monitor.tick)
        if problem is not None:
            self._monitor.hole("sequencers", problem)

    def _read_all_back(self, system: System) -> None:
        self._read_back = ReadBack(self._directory, system.environment())
        expired = self._interrupt.expiry(READ_BACK_S + self._experiment.users / READ_PER_S, keep_s=5.0)
        problem = self._read_back.wait(expired, tick=self._monitor.tick)
        if problem is not None:
            self._say(f"the read-back is incomplete: {problem}")
            self._monitor.hole("readback", problem)

    def _look_into_redis(self, system: System) -> None:
        """Search Redis, the first half of the hunt for plaintext; the second runs after the system has ended."""
        config = configs.load(self._directory.swarm)
        if config.canary:
            self._hunt = canary.Hunt(self._directory.path, canary=config.canary, tracer=config.tracer)
            if self._request.elsewhere is None:
                self._hunt.redis(system.topology)
            else:
                self._hunt.gave_up("Redis: it is not ours")

    def hunt(self) -> None:
        """Search the files of the run for plaintext. Call it after the clean-up."""
        if self._hunt is None:
            return
        if self._interrupt.asked:
            self._hunt.gave_up("the files: the run was interrupted")
        else:
            self._hunt.files()
        self._hunt.save()

    def _stop_engine(self) -> None:
        """Heal everything that is still broken; bounded by the engine's own times."""
        if self._engine is not None and self._engine_thread is not None:
            self._engine.stop()
            self._engine_thread.join()

    def clean_up(self) -> None:
        """End all processes, in good order if there is time. Called exactly once."""
        try:
            self._stop_engine()
            if self._swarm is not None:
                self._swarm.stop(lambda: True)
            if self._read_back is not None:
                self._read_back.kill()
            if self._sampler is not None:
                self._sampler.stop()
            if self._system is not None:
                self._system.stop(self._interrupt.left_s(SYSTEM_STOP_S, keep_s=3.0))
        except DeployError as error:
            raise HarnessError(str(error)) from None
        finally:
            if self._system is not None:
                end(self._system.topology, grace_s=0.0)
            self._monitor.close()
            if self._undo is not None:
                self._undo.close()

    def _other_pids(self) -> dict[str, int]:
        """Return the processes of the run that are not in the topology, for the sampler."""
        pids = {"runner": os.getpid()}
        if self._swarm is not None:
            pids |= self._swarm.pids()
        if self._read_back is not None:
            pids["readback"] = self._read_back.pid
        return pids
