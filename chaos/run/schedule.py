"""A schedule: every fault of a run with its target and its times, fixed before the run begins.

The same seed, experiment and topology always give the same schedule. As schedule.yaml it can be read, kept, edited and
replayed. It holds the whole experiment, so the file alone is enough to run it again. Pure.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

from chaos.errors import UsageError, no_such
from chaos.run import yamlfile
from chaos.run.experiment import Experiment, FaultSpec, Positive, Seconds, Timing, check_fault
from chaos.run.yamlfile import Mistake
from load.plan.population import below, shuffled, stream

TICKS_PER_S: Final = 10
"""Times are multiples of this fraction of a second, so that they read well and add up exactly."""


class PlannedFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One injection. Times are in seconds; `at_s` counts from t0, when the load is up."""

    fault: str
    """Its name within the run: f1, f2, ... by time."""
    name: str
    target: str
    at_s: Seconds
    for_s: Seconds
    options: Annotated[dict[str, float], msgspec.Meta(max_length=16)] = {}
    felt_s: Positive | None = None
    """The bound of the check `felt`, as in the experiment."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All decisions of a run that are made beforehand."""

    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    profile: str
    variant: str | None
    faults: tuple[PlannedFault, ...]
    experiment: Experiment


AGAIN: Final = 3
"""How often a run with a variant injects the fault that shows it: once may do no harm."""


def plan(
    experiment: Experiment,
    *,
    targets: Mapping[str, tuple[str, ...]],
    seed: int,
    profile: str,
    variant: str | None = None,
    first: str = "",
) -> Schedule:
    """Draw a schedule. `targets` holds the possible targets of each fault that can be injected here.

    The faults come in seeded order, one after the other. Those named `first`, AGAIN of them, are before the others.
    Each has the time that its heal usually takes. The remaining time of the run is spread at random before, between and
    after them; in an experiment with steps each step has one fault, after its warm-up. Faults that do not fit are left
    out. Raises UsageError for a target that the experiment names and the topology lacks.
    """
    rng = stream(seed, "schedule")

    def times(spec: FaultSpec) -> int:
        return max(spec.times, AGAIN if spec.name == first else 0)

    wanted = [spec for spec in experiment.faults if spec.name in targets for _ in range(times(spec))]
    drawn = [(spec, _target(rng, spec, targets[spec.name]), _hold(rng, spec)) for spec in shuffled(rng, wanted)]
    drawn.sort(key=lambda fault: fault[0].name != first)
    timing, duration = experiment.timing, math.floor(experiment.duration_s * TICKS_PER_S)
    lengths = [hold + _heal(spec) for spec, _, hold in drawn]
    steps = len(experiment.steps)
    while drawn and _least(lengths, timing, steps) > duration:
        drawn.pop()
        lengths.pop()
    begins = _one_a_step(len(drawn), duration, timing, steps) if steps > 1 else _spread(rng, lengths, duration, timing)
    faults = [
        PlannedFault(
            fault=f"f{number}",
            name=spec.name,
            target=target,
            at_s=at / TICKS_PER_S,
            for_s=hold / TICKS_PER_S,
            options=spec.options,
            felt_s=spec.felt_s,
        )
        for number, ((spec, target, hold), at) in enumerate(zip(drawn, begins, strict=True), 1)
    ]
    return Schedule(seed=seed, profile=profile, variant=variant, faults=tuple(faults), experiment=experiment)


def _spread(rng: random.Random, lengths: list[int], duration: int, timing: Timing) -> list[int]:
    """Return when each fault begins, with the rest of the run spread at random before, between and after them."""
    slack = duration - _least(lengths, timing)
    cuts = sorted(below(rng, slack + 1) for _ in lengths)
    begins, busy = [], _ticks(timing.warm_up_s)
    for length, cut in zip(lengths, cuts, strict=True):
        begins.append(busy + cut)
        busy += length + _ticks(timing.settle_s)
    return begins


def _one_a_step(count: int, duration: int, timing: Timing, steps: int) -> list[int]:
    """Return when each fault begins: once each step has warmed up."""
    return [place * duration // steps + _ticks(timing.warm_up_s) for place in range(count)]


def longest_s(experiment: Experiment) -> float:
    """Return the seconds that hold all faults of the experiment, whatever the seed draws; 0 without any."""
    specs = [spec for spec in experiment.faults for _ in range(spec.times)]
    lengths = [_ticks(spec.for_s[1]) + _heal(spec) for spec in specs]
    return _least(lengths, experiment.timing, len(experiment.steps)) / TICKS_PER_S if lengths else 0.0


def check_fits(experiment: Experiment) -> None:
    """Raise UsageError if the run is too short for any fault of the experiment."""
    least = min(
        (
            _least([_ticks(spec.for_s[1]) + _heal(spec)], experiment.timing, len(experiment.steps))
            for spec in experiment.faults
        ),
        default=0,
    )
    if least > experiment.duration_s * TICKS_PER_S:
        raise UsageError(
            f"experiment {experiment.name}: {experiment.duration_s:g} s are too short for any of its faults; "
            f"{math.ceil(least / TICKS_PER_S)} s hold one"
        )


def check_targets(schedule: Schedule, targets: Mapping[str, tuple[str, ...]]) -> None:
    """Raise Mistake for a fault whose target does not exist; `targets` as in `plan`."""
    for number, fault in enumerate(schedule.faults):
        if fault.target not in targets[fault.name]:
            text = f"{fault.fault}: {fault.name}: {no_such('target', fault.target, targets[fault.name])}"
            raise Mistake(("faults", number, "target"), text)


def check_named(spec: FaultSpec, offered: tuple[str, ...]) -> None:
    """Raise UsageError for a target that the experiment names and that is not offered."""
    for target in spec.targets:
        if target not in offered:
            raise UsageError(f"fault {spec.name}: {no_such('target', target, offered)}")


def _target(rng: random.Random, spec: FaultSpec, offered: tuple[str, ...]) -> str:
    check_named(spec, offered)
    choice = spec.targets or offered
    return choice[below(rng, len(choice))]


def _hold(rng: random.Random, spec: FaultSpec) -> int:
    shortest, longest = map(_ticks, spec.for_s)
    return shortest + below(rng, longest - shortest + 1)


def _ticks(time_s: float) -> int:
    return math.ceil(time_s * TICKS_PER_S - 1e-9)


def _heal(spec: FaultSpec) -> int:
    from chaos.faults import FAULTS

    return _ticks(FAULTS[spec.name].usual_heal_s)


def _least(lengths: list[int], timing: Timing, steps: int = 1) -> int:
    """Return the shortest run that holds faults of these lengths, in ticks. With several steps each holds one."""
    if steps > 1:
        longest = _ticks(timing.warm_up_s) + max(lengths, default=0) + _ticks(timing.tail_s)
        return longest * max(steps, len(lengths))
    gaps = max(0, len(lengths) - 1) * _ticks(timing.settle_s)
    return _ticks(timing.warm_up_s) + sum(lengths) + gaps + _ticks(timing.tail_s)


def left_out(schedule: Schedule) -> list[str]:
    """Return the names of the faults that the schedule holds fewer times than the experiment asks for."""
    planned = [fault.name for fault in schedule.faults]
    return [spec.name for spec in schedule.experiment.faults if planned.count(spec.name) < spec.times]


def save(schedule: Schedule, path: Path) -> None:
    """Write the schedule as YAML. Raises OSError."""
    plain = msgspec.to_builtins(schedule)
    told = plain["experiment"]
    plain["experiment"] = {key: told[key] for key in ("name", "summary")} | told
    path.write_text(yamlfile.dump(plain), encoding="utf-8")


def load(path: Path, *, also: Callable[[Schedule], None] = lambda _schedule: None) -> Schedule:
    """Read a schedule.yaml, strictly. Raises UsageError. `also`: what else to check; it raises Mistake."""

    def check(schedule: Schedule) -> None:
        _check(schedule)
        also(schedule)

    return yamlfile.read(path, Schedule, check=check)


def _check(schedule: Schedule) -> None:
    """Check that each fault exists, has a unique id, and ends before the last send. Raises Mistake."""
    seen: set[str] = set()
    duration_s = schedule.experiment.duration_s
    for number, fault in enumerate(schedule.faults):
        if fault.fault in seen:
            raise Mistake(("faults", number, "fault"), f"two faults have the id {fault.fault!r}")
        seen.add(fault.fault)
        if fault.at_s + fault.for_s > duration_s:
            ends = f"{fault.fault} ends {fault.at_s + fault.for_s:g} s after the first send"
            text = f"{ends}, and the last is at {duration_s:g} s"
            raise Mistake(("faults", number, "at_s"), text)
        try:
            check_fault(fault.name, fault.options)
        except Mistake as error:
            raise Mistake(("faults", number, *error.place), str(error)) from None
