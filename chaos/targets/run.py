"""One run against another chat system: start it, load it, break it, read everything back, judge it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from chaos.errors import HarnessError, UsageError
from chaos.faults import FAULTS, World
from chaos.faults.fault import Need, unavailable
from chaos.faults.undo import UndoLedger
from chaos.run.engine import Engine
from chaos.run.interrupt import Interrupt, Interrupted
from chaos.run.schedule import PlannedFault
from chaos.targets import system as systems
from chaos.targets.experiment import Foreign, TargetSpec, members_of
from chaos.targets.record import Record, members
from chaos.targets.swarm import Swarm
from chaos.targets.target import Place, Target
from chaos.verdict.model import Verdict, encode
from load.history.control import Bounds, Hole, Meta, Phase, PhaseName
from load.history.writer import now_ns
from sut.deploy.errors import DeployError
from sut.deploy.net.links import Links
from sut.deploy.net.packets import Packets
from sut.deploy.supervise.watchdog import Watchdog
from sut.deploy.system import System

ALL_UP_S: Final = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One run of a foreign experiment against one of its targets."""

    experiment: Foreign
    spec: TargetSpec
    label: str
    """The target's name in the experiment."""
    target: type[Target]
    directory: Path
    seed: int


def execute(request: Request, *, say: Callable[[str], None]) -> Verdict:
    """Run and judge. RUN_DIR holds history.jsonl, verdict.json and the logs. Raises HarnessError, UsageError."""
    history = request.directory / "history.jsonl"
    record = Record(numbered=request.target.numbered)
    with Interrupt() as interrupt:
        try:
            with interrupt.raising():
                running, place = systems.start(request.target, request.directory, label=request.label, on_progress=say)
        except Interrupted:
            raise HarnessError("interrupted before anything ran; nothing of it is left") from None
        try:
            watchdog = Watchdog(running.topology.run_id, request.directory.absolute())
            asyncio.run(_Run(request, running, place, record, say=say, over=lambda: interrupt.asked).play())
        finally:
            try:
                running.stop()
                Packets(running.topology.run_id).clear()
            except DeployError as error:
                raise HarnessError(str(error)) from None
        watchdog.done()
    record.save(history)
    return _judged(history, request.directory)


def _judged(history: Path, directory: Path) -> Verdict:
    from chaos.run import outcome

    verdict = outcome.verify(history, foreign=True, say=lambda _text: None)
    (directory / "verdict.json").write_bytes(encode(verdict) + b"\n")
    return verdict


class _Run:
    """The part of a run while the system is up."""

    def __init__(
        self,
        request: Request,
        running: System,
        place: Place,
        record: Record,
        *,
        say: Callable[[str], None],
        over: Callable[[], bool],
    ) -> None:
        self._request = request
        self._running = running
        self._place = place
        self._record = record
        self._say = say
        self._over = over

    async def play(self) -> None:
        """Play all phases. Raises HarnessError if the devices cannot connect to the healthy system."""
        experiment, record = self._request.experiment, self._record
        rooms = members_of(experiment)
        record.write(self._meta())
        self._phase("setup")
        members(record, rooms)
        swarm = Swarm(self._request.target, self._place, rooms, record, seed=self._request.seed)
        try:
            await self._request.target.prepare(self._place, rooms)
            self._phase("ramp")
            await swarm.connect(ALL_UP_S)
        except Exception as error:  # noqa: BLE001 (an adapter may raise anything)
            raise HarnessError(f"{self._request.label}: {type(error).__name__}: {error}") from None
        self._say(f"{len(swarm.devices)} devices are connected; sending for {experiment.duration_s:g} s")
        t0_ns = now_ns()
        self._phase("steady")
        engine, ledger = self._engine(t0_ns)
        thread = threading.Thread(target=engine.run)
        thread.start()
        try:
            await swarm.talk(
                rate_per_s=experiment.rate_per_s, duration_s=experiment.duration_s, t0_ns=t0_ns, over=self._over
            )
        finally:
            if self._over():
                engine.stop()
                record.write(Hole(t=now_ns(), process="runner", detail="interrupted before the last send"))
            await asyncio.to_thread(thread.join)
            ledger.close()
        for line in engine.errors:
            record.write(Hole(t=now_ns(), process="engine", detail=line))
        self._phase("quiesce")
        await asyncio.sleep(experiment.quiesce_s)
        self._phase("final")
        self._say(f"{record.acked} sends were taken, {record.shown} messages shown; reading everything back")
        for failure in await swarm.read_back():
            self._say(failure)
        self._phase("end")

    def _engine(self, t0_ns: int) -> tuple[Engine, UndoLedger]:
        topology = self._running.topology
        links, packets = Links(topology), Packets(topology.run_id)
        world = World(topology=topology, processes=self._running, links=links, packets=packets)
        lacks: Mapping[Need, Callable[[], str | None]] = {"links": links.available, "packets": packets.available}
        planned = []
        for number, one in enumerate(self._request.spec.faults, 1):
            fault = FAULTS[one.name]
            if (why := unavailable(fault, topology=topology, lacks=lacks)) is not None:
                self._say(f"without {one.name}: {why}")
                continue
            if one.target not in (targets := fault.targets(topology)):
                raise UsageError(f"{one.name} has no target {one.target!r}; it has {', '.join(targets)}")
            planned.append(
                PlannedFault(
                    fault=f"f{number}", name=one.name, target=one.target, at_s=one.at_s, for_s=one.for_s,
                    options=one.options,
                )
            )  # fmt: skip
        ledger = UndoLedger(topology.path / "undo.jsonl")
        engine = Engine(planned, world=world, ledger=ledger, lines=self._record, now_ns=now_ns, t0_ns=t0_ns)
        return engine, ledger

    def _meta(self) -> Meta:
        request = self._request
        return Meta(
            t=now_ns(), experiment=request.experiment.name, profile=request.label, seed=request.seed,
            duration_s=request.experiment.duration_s,
            bounds=msgspec.convert(msgspec.to_builtins(request.experiment.bounds), Bounds),
            checks=request.spec.checks,
        )  # fmt: skip

    def _phase(self, name: PhaseName) -> None:
        self._record.write(Phase(t=now_ns(), name=name))
