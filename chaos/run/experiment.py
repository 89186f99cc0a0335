"""An experiment: the load, its duration, the faults meanwhile, and the bounds of the verdict.

The experiments that ship are the YAML files in chaos/experiments; `petrel run` also takes the path of any other file.
Unknown keys and values out of range are errors that name the file and the line. The knobs of the workload (`users`,
`rate_per_s`, ...) are in load/workload.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from chaos.errors import UsageError, no_such
from chaos.run import yamlfile
from chaos.run.yamlfile import Mistake, Place
from load import sentences
from load.history import control
from load.workload import Workload
from sut.deploy.profiles import PROFILES

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=86_400)]

OPTIONS: Final = {"users": "--users", "duration_s": "--duration", "rate_per_s": "--rate"}
"""The options of the command line that change an experiment, by field."""
MAX_FAULTS: Final = 1000
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
SHIPPED: Final = Path(__file__).parents[1] / "experiments"


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Bounds(control.Bounds, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bounds of the verdict, as an experiment states them: above zero, and at most a day."""

    presence_s: control.Bound = 100.0
    """At least 2.5 heartbeats (of 30 s), the services' period and grace, and the time that a fault blocks Redis."""
    min_acked: control.Least = 1000
    min_deliveries: control.Least = 1000

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, float) and not 0 < value <= 86_400:
                raise ValueError(f"{name} is {value:g}; it must be above 0 and at most 86400")


class FaultSpec(_Strict, frozen=True):
    """One kind of fault, to be injected `times` times for a time drawn from `for_s` (shortest, longest)."""

    name: str
    """A fault's name in `petrel faults`."""
    for_s: tuple[Positive, Positive]
    """Shortest and longest time from the injection to the planned heal, in seconds."""
    times: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    """Number of injections of this fault in the run."""
    targets: tuple[str, ...] = ()
    """The allowed targets; empty means all that the topology offers."""
    options: Annotated[dict[str, float], msgspec.Meta(max_length=16)] = {}
    """The fault's own settings, such as `latency_ms` of `link_latency`; each has a default."""
    felt_s: Positive | None = None
    """The check `felt`: the most that the p99 of any second in its window may be, in seconds. Null: not judged."""

    def __post_init__(self) -> None:
        if self.for_s[0] > self.for_s[1]:
            raise Mistake(
                ("for_s",), f"for_s of {self.name} is [shortest, longest], not [{self.for_s[0]}, {self.for_s[1]}]"
            )
        check_fault(self.name, self.options)


class Timing(_Strict, frozen=True):
    """The parts of the run in which faults may be, in seconds."""

    warm_up_s: Seconds = 10.0
    """Time before the first injection."""
    settle_s: Seconds = 4.0
    """Minimum time between a planned heal and the next injection."""
    tail_s: Seconds = 6.0
    """Time from the last planned heal to the last send."""


class _Plan(Workload, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of an experiment that a profile may change."""

    faults: tuple[FaultSpec, ...] = ()
    """What breaks; the seed draws the order, the times and the targets."""
    timing: Timing = Timing()
    """The times without faults: before the first, between two, after the last."""
    bounds: Bounds = Bounds()
    """The limits that the verdict checks against."""


if TYPE_CHECKING:

    class Instead(msgspec.Struct):
        """The fields that one profile changes: any field of `_Plan`, UNSET if it is left out."""

else:
    Instead = msgspec.defstruct(
        "Instead",
        [(field.name, field.type | UnsetType, UNSET) for field in msgspec.structs.fields(_Plan)],
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


class Experiment(_Plan, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole input of `petrel run`, except the seed."""

    name: str
    """Its name in reports, verdicts and the names of run directories: up to 64 of a-z, 0-9, - and _."""
    summary: str
    """What it does, in one line."""
    checks: Literal["all"] | tuple[str, ...] | None = "all"
    """The checks that judge the run; `all`, or a list of names. Null, in schedules of version 0.1: all."""
    without: tuple[str, ...] = ()
    """Checks to leave out of those, by name. `vacuity` is always made."""
    profiles: Annotated[dict[str, Instead], msgspec.Meta(max_length=16)] = {}  # noqa: RUF012 (msgspec copies it)
    """The changes for each profile, by its name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _NAME.fullmatch(self.name):
            raise Mistake(("name",), "a name is 1 to 64 of a-z, 0-9, - and _, and begins with a letter or a digit")

    @property
    def judged_by(self) -> tuple[str, ...] | None:
        """The names of the checks that judge the run; None means all."""
        listed = None if self.checks == "all" else self.checks
        if listed is None and not self.without:
            return None
        from chaos.verdict.checks import CHECKS

        return tuple(name for name in (CHECKS if listed is None else listed) if name not in self.without)


def names() -> list[str]:
    """Return the names of the experiments that ship."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load(name: str, *, also: Callable[[Experiment], None] = lambda _experiment: None) -> Experiment:
    """Return the shipped experiment of that name, or the one in the file at that path. Raises UsageError.

    `also`: what else to check; it raises Mistake.
    """
    path = SHIPPED / f"{name}.yaml"
    if name not in names():
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"{no_such('experiment', name, names())}, or give the path of a YAML file")

    def check(experiment: Experiment) -> None:
        _check(experiment)
        also(experiment)

    return yamlfile.read(path, Experiment, check=check)


def made(fields: Mapping[str, object], where: str) -> Experiment:
    """Return the experiment with these fields, checked like those of a file. Raises UsageError, which names `where`."""
    try:
        experiment = msgspec.convert(dict(fields), Experiment)
        _check(experiment)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        raise UsageError(f"{where}: {sentences.told(message, path.rstrip('`') or 'it')}") from None
    except Mistake as error:
        raise UsageError(f"{where}: {error}") from None
    return experiment


def for_profile(experiment: Experiment, profile: str) -> Experiment:
    """Return the experiment with the changes for this profile. Raises UsageError."""
    instead = experiment.profiles.get(profile)
    return msgspec.structs.replace(_changed(experiment, msgspec.to_builtins(instead) if instead else {}), profiles={})


def _changed(experiment: Experiment, changes: Mapping[str, object]) -> Experiment:
    """Return the experiment with some fields changed, which are checked like those of a file. Raises UsageError."""
    try:
        return msgspec.convert(msgspec.to_builtins(experiment) | dict(changes), Experiment)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`") or f"experiment {experiment.name}"
        raise UsageError(sentences.told(message, OPTIONS.get(field, field))) from None


def check_fault(name: str, options: Mapping[str, float]) -> None:
    """Check that the fault exists and has these options. Raises Mistake."""
    from chaos.faults import FAULTS

    fault = FAULTS.get(name)
    if fault is None:
        raise Mistake(("name",), no_such("fault", name, FAULTS))
    if unknown := sorted(options.keys() - fault.options.keys()):
        known = ", ".join(fault.options) or "none"
        raise Mistake(("options", unknown[0]), f"fault {name} has no option {unknown[0]!r}; it has {known}")
    for option, value in options.items():
        if not 0 <= value < math.inf:
            raise Mistake(("options", option), f"option {option} of {name} is no number from 0 up")


def _check(experiment: Experiment) -> None:
    """Check that profiles and checks exist, faults are not too many, and vacuity is not left out. Raises Mistake."""
    from chaos.verdict.checks import CHECKS

    for profile in experiment.profiles:
        if profile not in PROFILES:
            raise Mistake(("profiles", profile), no_such("profile", profile, PROFILES))
    _check_count(experiment.faults, ("faults",))
    for profile, instead in experiment.profiles.items():
        _check_count(getattr(instead, "faults"), ("profiles", profile, "faults"))  # noqa: B009 (made at runtime)
    listed = () if experiment.checks == "all" else experiment.checks or ()
    for key, names in (("checks", listed), ("without", experiment.without)):
        for number, name in enumerate(names):
            if name not in CHECKS:
                raise Mistake((key, number), no_such("check", name, CHECKS))
    judged_by = experiment.judged_by
    if judged_by is not None and "vacuity" not in judged_by:
        key = "without" if "vacuity" in experiment.without else "checks"
        raise Mistake((key,), "vacuity cannot be left out: a fault without effect would go unnoticed")


def _check_count(faults: tuple[FaultSpec, ...] | UnsetType, place: Place) -> None:
    if faults is not UNSET and sum(spec.times for spec in faults) > MAX_FAULTS:
        raise Mistake(place, f"more than {MAX_FAULTS:,} faults in one run")


def override(experiment: Experiment, *, users: int | None, duration_s: float | None, rate: float | None) -> Experiment:
    """Return the experiment with the changes of the command line. Raises UsageError.

    Fewer users or less time also mean fewer operations, so the minimum that a verdict needs shrinks in proportion.
    """
    changes = {
        key: value
        for key, value in (("users", users), ("duration_s", duration_s), ("rate_per_s", rate))
        if value is not None
    }
    if not changes:
        return experiment
    changed = _changed(experiment, changes)
    share = min(1.0, changed.duration_s * changed.rate_per_s / (experiment.duration_s * experiment.rate_per_s))
    bounds = msgspec.structs.replace(
        experiment.bounds,
        min_acked=math.ceil(experiment.bounds.min_acked * share),
        min_deliveries=math.ceil(experiment.bounds.min_deliveries * share),
    )
    return msgspec.structs.replace(changed, bounds=bounds)
