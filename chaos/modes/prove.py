"""Proves failure modes: breaks a running system by the experiment of each, and looks at what Prometheus saw.

A run has one swarm and several faults, one after the other, each as long as its mode says. Beside it runs a real
Prometheus with the rules of dashboards/prometheus. Afterwards it is asked when each alert fired. A mode is proven if
its fault took effect and healed, its alert fired within its bound and ended within its bound, and nothing was lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from chaos.errors import HarnessError
from chaos.faults import FAULTS
from chaos.modes.catalogue import Mode
from chaos.run import sketch, whole
from chaos.run.experiment import Bounds, Experiment
from chaos.run.observe import prometheus
from chaos.run.observe.prometheus import Observed, Series
from chaos.run.runner import Request
from chaos.run.schedule import PlannedFault, Schedule
from chaos.verdict.model import Verdict
from load.history.control import ControlReader, Fault
from sut.deploy.errors import DeployError
from sut.deploy.system import System
from sut.deploy.topology import Settings

PER_RUN: Final = 3
"""Modes in one run."""
WARM_UP_S: Final = 25.0
"""Seconds of load before the first fault: rates over 20 s have their data."""
STEP_S: Final = 1.0
START_S: Final = 600.0
"""Longest wait for the system of a run."""
GRACE_S: Final = 5.0
"""Scrapes and evaluations come every 2 s, and a fault ends between two."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one mode."""

    mode: str
    proven: bool
    why: str
    """What is missing; empty if it is proven."""
    alert: str
    fired_s: float | None = None
    """Seconds from the fault to the alert."""
    within_s: float = 0.0
    cleared_s: float | None = None
    """Seconds from the proven heal to the end of the alert; negative: it ended before."""
    clear_within_s: float = 0.0
    recovery_s: float | None = None
    lost: int | None = None
    """Messages lost in the whole run."""
    verdict: str = ""
    evidence: str = ""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A mode with its target."""

    mode: Mode
    target: str

    @property
    def moves_master(self) -> bool:
        """True if Redis may have another master afterwards."""
        return self.mode.experiment is not None and self.mode.experiment.fault.startswith("redis_")


def split(modes: Mapping[str, Mode], profile: str) -> tuple[list[Planned], dict[str, str]]:
    """Return the modes that can be shown on this profile, and for each other one the reason why not."""
    can: list[Planned] = []
    cannot: dict[str, str] = {}
    offers = sketch.offers(profile, Settings())
    for name, mode in modes.items():
        if mode.experiment is None:
            cannot[name] = mode.cannot
            continue
        offer = offers[mode.experiment.fault]
        if offer.unavailable is not None:
            cannot[name] = offer.unavailable
        else:
            can.append(Planned(mode=mode, target=mode.experiment.target or offer.targets[0]))
    # Last what moves the master of the registry: links to it are targets of others.
    return sorted(can, key=lambda item: item.moves_master), cannot


def schedule(planned: Sequence[Planned], *, profile: str, seed: int) -> Schedule:
    """Return the run that shows these modes one after the other."""
    at_s, faults = WARM_UP_S, []
    for number, item in enumerate(planned, 1):
        shown = item.mode.experiment
        assert shown is not None
        faults.append(
            PlannedFault(
                fault=f"f{number}",
                name=shown.fault,
                target=item.target,
                at_s=at_s,
                for_s=shown.for_s,
                options=shown.options,
            )
        )
        heal_s = FAULTS[shown.fault].usual_heal_s
        at_s += shown.for_s + heal_s + item.mode.detection.clears_within_s + GRACE_S
    experiment = Experiment(
        name="modes",
        summary="Failure modes, one after the other, each until its alert has ended.",
        users=150,
        duration_s=at_s,
        rate_per_s=30,
        heartbeat_s=5,
        spawn_per_s=50,
        workers=1,
        recipients=2.5,
        push=True,
        bounds=Bounds(min_acked=100, min_deliveries=100),
        # What is shown here is alerts and losses; latency and pushes have experiments of their own.
        without=("latency", "felt", "push", "presence", "receipts"),
    )
    return Schedule(seed=seed, profile=profile, variant=None, faults=tuple(faults), experiment=experiment)


def prove(
    planned: Sequence[Planned], *, profile: str, seed: int, directory: Path, say: Callable[[str], None]
) -> Iterator[Outcome]:
    """Run the modes, some at a time, and yield what was seen of each. Raises HarnessError."""
    prometheus.program()
    for number, start in enumerate(range(0, len(planned), PER_RUN), 1):
        some = planned[start : start + PER_RUN]
        say(f"run {number}: {', '.join(item.mode.name for item in some)}")
        yield from _run(some, profile=profile, seed=seed + number - 1, directory=directory / f"run-{number}")


def _run(planned: Sequence[Planned], *, profile: str, seed: int, directory: Path) -> list[Outcome]:
    made = schedule(planned, profile=profile, seed=seed)
    request = Request(
        experiment=made.experiment, seed=seed, profile=profile, variant=None, directory=directory, replay=made
    )
    with _watched(directory, directory.with_name(f"{directory.name}-observe")) as observed:
        verdict = whole.execute(request, as_json=True, alone=False)
        return [
            _outcome(item.mode, _times(directory, f"f{number}"), verdict, number, observed())
            for number, item in enumerate(planned, 1)
        ]


@contextmanager
def _watched(directory: Path, place: Path) -> Iterator[Callable[[], Observed]]:
    """Run Prometheus beside the system that will be in `directory`, from the moment that it is there."""
    found: list[Observed] = []
    problems: list[Exception] = []
    stop, ready = threading.Event(), threading.Event()

    def watch() -> None:
        try:
            system = _await_system(directory, stop)
            if system is not None:
                with prometheus.beside(system, place) as observed:
                    found.append(observed)
                    ready.set()
                    stop.wait()
        except Exception as error:  # noqa: BLE001 (told to the thread that asks)
            problems.append(error)
        finally:
            ready.set()

    def observed() -> Observed:
        if not found:
            raise HarnessError(f"nothing was observed: {problems[0] if problems else 'the system never ran'}")
        return found[0]

    thread = threading.Thread(target=watch, name="observe", daemon=True)
    thread.start()
    try:
        yield observed
    finally:
        stop.set()
        thread.join()


def _await_system(directory: Path, stop: threading.Event) -> System | None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and not stop.wait(0.2):
        try:
            system = System.attach(directory)
        except DeployError:
            continue
        if system.running:
            return system
    return None


def _times(directory: Path, fault: str) -> tuple[float | None, float | None]:
    """Return when a fault was injected, and seen healed, in Unix seconds."""
    lines = [
        event
        for event in ControlReader(directory / "history").poll()
        if isinstance(event, Fault) and event.fault == fault
    ]
    injected = next((line.t / 1e9 for line in lines if line.phase == "inject" and line.ok), None)
    healed = next((line.t / 1e9 for line in lines if line.phase == "heal" and line.ok), None)
    return injected, healed


def _outcome(
    mode: Mode, times: tuple[float | None, float | None], verdict: Verdict, number: int, observed: Observed
) -> Outcome:
    injected_s, healed_s = times
    result = verdict.faults[number - 1]
    begun = Outcome(
        mode=mode.name,
        proven=False,
        why="",
        alert=mode.detection.alert,
        within_s=mode.detection.fires_within_s,
        clear_within_s=mode.detection.clears_within_s,
        recovery_s=result.recovery_s,
        lost=verdict.counts.lost,
        verdict=verdict.verdict,
        evidence=result.evidence,
    )
    if injected_s is None or healed_s is None:
        return msgspec.structs.replace(begun, why=f"the fault was not proven: {result.evidence}")
    end_s = healed_s + mode.detection.clears_within_s + GRACE_S
    series = prometheus.query_range(
        observed.url, selector(mode), start_s=injected_s - GRACE_S, end_s=end_s, step_s=STEP_S
    )
    fired_s, cleared_s, why = judge(mode, series, injected_s=injected_s, healed_s=healed_s)
    if not why and verdict.counts.lost:
        why = f"{verdict.counts.lost} messages were lost"
    if not why and verdict.verdict == "invalid":
        why = "the run is invalid: " + ", ".join(c.name for c in verdict.checks if c.verdict == "invalid")
    return msgspec.structs.replace(begun, fired_s=fired_s, cleared_s=cleared_s, why=why, proven=not why)


def selector(mode: Mode) -> str:
    """Return the query for the alert of a mode."""
    labels = {"alertname": mode.detection.alert, "alertstate": "firing"} | mode.detection.labels
    return "ALERTS{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def judge(
    mode: Mode, series: Sequence[Series], *, injected_s: float, healed_s: float
) -> tuple[float | None, float | None, str]:
    """Return the seconds to the alert and from the heal to its end, and what is wrong with them; "" if nothing is."""
    firing = sorted({at for one in series for at, _ in one.points})
    before = [at for at in firing if at < injected_s]
    after = [at for at in firing if at >= injected_s]
    detection = mode.detection
    if before:
        return None, None, f"{detection.alert} fired before the fault"
    if not after:
        return None, None, f"{detection.alert} did not fire"
    fired_s, cleared_s = round(after[0] - injected_s, 1), round(after[-1] + STEP_S - healed_s, 1)
    if fired_s > detection.fires_within_s:
        return fired_s, cleared_s, f"{detection.alert} fired after {fired_s:g} s"
    if cleared_s > detection.clears_within_s:
        return fired_s, cleared_s, f"{detection.alert} still fired {cleared_s:g} s after the heal"
    return fired_s, cleared_s, ""
