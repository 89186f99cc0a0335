"""An experiment: who sends how much for how long, what breaks meanwhile, and what the verdict holds the system to.

The experiments that ship are the YAML files in chaos/experiments; `petrel run` also takes the path of any other.
Unknown keys are refused and ranges are checked, with the file and the line.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from chaos.errors import UsageError, no_such
from chaos.run import yamlfile
from load.history import control
from load.workload import MAX_RATE_PER_S, MAX_USERS
from sut.deploy.profiles import PROFILES

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Count = Annotated[int, msgspec.Meta(ge=1, le=MAX_USERS)]
Duration = Annotated[float, msgspec.Meta(ge=1, le=86_400)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=MAX_RATE_PER_S)]
Spawn = Annotated[float, msgspec.Meta(gt=0, le=100_000)]
Heartbeat = Annotated[float, msgspec.Meta(ge=0.5, le=300)]
Recipients = Annotated[float, msgspec.Meta(ge=1, le=100)]
Changes = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]

SHIPPED: Final = Path(__file__).parents[1] / "experiments"


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Bounds(control.Bounds, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the verdict checks against, as an experiment states it: no bound is zero, none is longer than a day."""

    presence_s: control.Bound = 100.0
    """At least 2.5 heartbeats (of 30 s), the services' period and grace, and what a fault keeps from Redis."""
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
    for_s: tuple[Positive, Positive]
    times: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    targets: tuple[str, ...] = ()
    """Only these; all that the topology offers when empty."""
    options: dict[str, float] = {}

    def __post_init__(self) -> None:
        if self.for_s[0] > self.for_s[1]:
            raise ValueError(f"for_s of {self.name} is [shortest, longest], not [{self.for_s[0]}, {self.for_s[1]}]")
        check_fault(self.name, self.options)


class Timing(_Strict, frozen=True):
    """Where in the run faults may be."""

    warm_up_s: Seconds = 10.0
    """Before the first injection."""
    settle_s: Seconds = 4.0
    """At least this long between a planned heal and the next injection."""
    tail_s: Seconds = 6.0
    """From the last planned heal to the last send."""


class Instead(_Strict, frozen=True):
    """What an experiment has instead on one profile; each field as in Experiment, which holds for what is left out."""

    users: Count | UnsetType = UNSET
    duration_s: Duration | UnsetType = UNSET
    rate_per_s: Rate | UnsetType = UNSET
    spawn_per_s: Spawn | UnsetType = UNSET
    recipients: Recipients | UnsetType = UNSET
    offline_share: Share | UnsetType = UNSET
    probe_share: Share | UnsetType = UNSET
    roles: Changes | UnsetType = UNSET
    crypto_share: Share | UnsetType = UNSET
    heartbeat_s: Heartbeat | UnsetType = UNSET
    faults: tuple[FaultSpec, ...] | UnsetType = UNSET
    timing: Timing | UnsetType = UNSET
    bounds: Bounds | UnsetType = UNSET


class Experiment(_Strict, frozen=True):
    """All that `petrel run` needs to know besides a seed."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    summary: str
    users: Count
    duration_s: Duration
    """From the first send to the last."""
    rate_per_s: Rate
    """Sends offered, by all devices together."""
    heartbeat_s: Heartbeat = 30.0
    spawn_per_s: Spawn = 100.0
    """Devices that connect in a second of the ramp."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 2
    """Swarm processes."""
    offline_share: Share = 0.1
    """Share of the devices that go offline now and then."""
    roles: Changes = 0
    """Changes of roles in groups; admins then do a part of the changes of members."""
    probe_share: Share = 0.0
    """Share of the devices that try, at the end, to read a conversation of others; what they get counts as a leak."""
    crypto_share: Share = 0.0
    """Share of the devices with real end-to-end encryption; the other bodies then have the size of encrypted ones."""
    recipients: Recipients = 5.0
    """Mean number of recipients of a message: it sets the share of group messages."""
    read_share: Share = 0.0
    """Share of the shown messages that are read, and said to be. 0: there are no receipts at all in this run."""
    typing_share: Share = 0.0
    """Share of the sends before which the writer is seen typing."""
    watch_share: Share = 0.0
    """Share of the devices that look at some of their contacts."""
    watched: Annotated[int, msgspec.Meta(ge=1, le=500)] = 10
    """At how many at a time."""
    push: bool = False
    """Whether there is a push service, and stand-ins for its providers, and the devices have push tokens."""
    causal: bool = True
    """Messages name what their sender had seen of other conversations, and devices wait for it."""
    faults: tuple[FaultSpec, ...] = ()
    timing: Timing = Timing()
    bounds: Bounds = Bounds()
    checks: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] | None = None
    """The checks, by name, that the run is judged by; all when null."""
    profiles: dict[str, Instead] = {}
    """What is different on a profile, by its name."""


def names() -> list[str]:
    """The experiments that ship."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load(name: str) -> Experiment:
    """The shipped experiment of that name, or the one in the file of that path. Raises UsageError."""
    path = SHIPPED / f"{name}.yaml"
    if name not in names():
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"{no_such('experiment', name, names())}, or give the path of a YAML file")
    experiment = yamlfile.read(path, Experiment)
    for name_of_profile in experiment.profiles:
        if name_of_profile not in PROFILES:
            raise UsageError(f"{path}: {no_such('profile', name_of_profile, PROFILES)}")
    if experiment.checks is not None:
        _check_checks(experiment.checks, source=str(path))
    return experiment


def for_profile(experiment: Experiment, profile: str) -> Experiment:
    """The experiment as it is on this profile."""
    instead = experiment.profiles.get(profile, Instead())
    changes = {field: value for field in Instead.__struct_fields__ if (value := getattr(instead, field)) is not UNSET}
    return msgspec.structs.replace(experiment, profiles={}, **changes)


def check_fault(name: str, options: Mapping[str, float]) -> None:
    """The fault and its options are ones that it can have. Raises ValueError, to which msgspec adds the place."""
    from chaos.faults import FAULTS

    fault = FAULTS.get(name)
    if fault is None:
        raise ValueError(no_such("fault", name, FAULTS))
    if unknown := sorted(options.keys() - fault.options.keys()):
        raise ValueError(f"fault {name} has no option {unknown[0]!r}; it has {', '.join(fault.options) or 'none'}")
    if bad := [option for option, value in options.items() if not 0 <= value < math.inf]:
        raise ValueError(f"option {bad[0]} of {name} is no number from 0 up")


def _check_checks(names: Collection[str], *, source: str) -> None:
    from chaos.verdict.checks import CHECKS

    for name in names:
        if name not in CHECKS:
            raise UsageError(f"{source}: {no_such('check', name, CHECKS)}")
    if "vacuity" not in names:
        raise UsageError(f"{source}: checks leaves out vacuity; without it a fault that never bit would go unnoticed")


def override(experiment: Experiment, *, users: int | None, duration_s: float | None, rate: float | None) -> Experiment:
    """The experiment with what the command line changed. Raises UsageError.

    Fewer users or less time also mean fewer operations, so the least number of them that a verdict needs shrinks
    in proportion.
    """
    changes = {
        key: value
        for key, value in (("users", users), ("duration_s", duration_s), ("rate_per_s", rate))
        if value is not None
    }
    if not changes:
        return experiment
    try:
        changed = msgspec.convert(msgspec.to_builtins(experiment) | changes, Experiment)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        option = {"users": "--users", "duration_s": "--duration", "rate_per_s": "--rate"}.get(path.rstrip("`"), path)
        raise UsageError(f"{option}: {message}") from None
    share = min(1.0, changed.duration_s * changed.rate_per_s / (experiment.duration_s * experiment.rate_per_s))
    bounds = msgspec.structs.replace(
        experiment.bounds,
        min_acked=math.ceil(experiment.bounds.min_acked * share),
        min_deliveries=math.ceil(experiment.bounds.min_deliveries * share),
    )
    return msgspec.structs.replace(changed, bounds=bounds)
