"""The experiment file for other chat systems: the load, and for each target its faults, checks and promises.

Those that ship are in chaos/targets/experiments. A mistake gives one line with the file and the line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

from chaos.errors import UsageError, no_such
from chaos.run import yamlfile
from chaos.run.experiment import Bounds, check_fault
from chaos.run.yamlfile import Mistake

SHIPPED: Final = Path(__file__).with_name("experiments")
NEEDED: Final = ("vacuity", "clocks")
"""Checks that judge the evidence itself, for every target."""
Positive = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Promise(_Strict, frozen=True, kw_only=True):
    """What the makers of a system promise, and the checks that hold it to that."""

    says: str
    """The promise in our words."""
    link: str
    """The page of their documentation that makes it."""
    checks: tuple[str, ...]


class Break(_Strict, frozen=True, kw_only=True):
    """One fault, at its time."""

    name: str
    """A fault's name in `petrel faults`."""
    target: str
    """`server`, or `devices->server` for the way of all devices; for our own system a target of `petrel faults`."""
    at_s: Positive
    """Seconds after the first planned send."""
    for_s: Positive
    options: Annotated[dict[str, float], msgspec.Meta(max_length=16)] = {}

    def __post_init__(self) -> None:
        check_fault(self.name, self.options)


class TargetSpec(_Strict, frozen=True, kw_only=True):
    """One chat system in an experiment."""

    adapter: str
    """The name of an adapter that ships, or the path of a Python file beside the experiment."""
    promises: Annotated[tuple[Promise, ...], msgspec.Meta(min_length=1)]
    faults: tuple[Break, ...] = ()

    @property
    def checks(self) -> tuple[str, ...]:
        """The checks that judge a run: those that hold it to a promise, and those of the evidence."""
        return tuple(dict.fromkeys([*(name for one in self.promises for name in one.checks), *NEEDED]))


class Foreign(_Strict, frozen=True, kw_only=True):
    """A whole experiment file."""

    name: str
    summary: str
    users: Annotated[int, msgspec.Meta(ge=2, le=500)] = 12
    rooms: Annotated[int, msgspec.Meta(ge=1, le=100)] = 4
    members: Annotated[int, msgspec.Meta(ge=2, le=500)] = 6
    """Users of each room."""
    rate_per_s: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 10.0
    duration_s: Positive = 50.0
    """Seconds from the first planned send to the last."""
    quiesce_s: Positive = 10.0
    """Seconds for the last messages to arrive."""
    bounds: Bounds = Bounds(min_acked=50, min_deliveries=50)
    targets: Annotated[dict[str, TargetSpec], msgspec.Meta(min_length=1, max_length=16)]


def load(name: str) -> tuple[Foreign, Path]:
    """Return the experiment that ships under this name, or a file's, and the file's directory. Raises UsageError."""
    path = SHIPPED / f"{name}.yaml"
    if not path.is_file():
        path = Path(name)
        if not path.is_file():
            shipped = sorted(one.stem for one in SHIPPED.glob("*.yaml"))
            raise UsageError(f"{no_such('experiment', name, shipped)}, or give the path of a YAML file")
    return yamlfile.read(path, Foreign, check=_check), path.parent


def members_of(experiment: Foreign) -> Mapping[str, tuple[str, ...]]:
    """Return the users of each room: each user is in about as many rooms as any other."""
    users = [f"user{number}" for number in range(1, experiment.users + 1)]
    size = min(experiment.members, experiment.users)
    found = {}
    for room in range(experiment.rooms):
        first = room * size // 2 if experiment.rooms > 1 else 0
        found[f"room{room + 1}"] = tuple(users[(first + place) % len(users)] for place in range(size))
    return found


def _check(experiment: Foreign) -> None:
    """Check the names of checks, and that every fault ends before the last send. Raises Mistake."""
    from chaos.verdict.checks import CHECKS

    for name, spec in experiment.targets.items():
        for number, promise in enumerate(spec.promises):
            for check in promise.checks:
                if check not in CHECKS:
                    raise Mistake(("targets", name, "promises", number), no_such("check", check, CHECKS))
        for number, fault in enumerate(spec.faults):
            if fault.at_s + fault.for_s > experiment.duration_s:
                raise Mistake(("targets", name, "faults", number), f"{fault.name} ends after the last send")
