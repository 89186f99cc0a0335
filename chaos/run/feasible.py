"""Whether an experiment can be run as it asks, looked at before anything starts.

A run that cannot become valid costs minutes and proves nothing. So each of these is a mistake with its place in the
file: a fault that has no target, faults that do not fit into the time, no sends at all, and more operations demanded
than are planned. What only this machine lacks (Toxiproxy, root) is no mistake: such faults are left out, and named.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from chaos.errors import UsageError, no_such
from chaos.faults import FAULTS, Fault
from chaos.run import experiment as experiments
from chaos.run import schedule, sketch
from chaos.run.experiment import Bounds, Experiment
from chaos.run.yamlfile import Mistake, Place
from sut.deploy.profiles import PROFILES

Where = Callable[[str], Place]
"""The place in the file of a field."""


def load(
    name: str,
    *,
    profile: str,
    users: int | None = None,
    duration_s: float | None = None,
    rate: float | None = None,
    own_servers: bool = True,
    written: Experiment | None = None,
) -> Experiment:
    """Return an experiment, for a profile and with the changes of the command line, that can be run as it asks.

    `written`: the experiment, where it is in no file of ours. Raises UsageError, with the place in the file.
    """

    def changed(written: Experiment) -> Experiment:
        here = experiments.for_profile(written, profile)
        return experiments.override(here, users=users, duration_s=duration_s, rate=rate)

    def can_be(written: Experiment) -> None:
        shortened = duration_s is not None
        check(written, changed(written), profile=profile, shortened=shortened, own_servers=own_servers)

    if written is not None:
        try:
            can_be(written)
        except Mistake as error:
            raise UsageError(f"{name}: {error}") from None
    wanted = changed(written or experiments.load(name, also=can_be))
    schedule.check_fits(wanted)
    return wanted


def check(written: Experiment, wanted: Experiment, *, profile: str, shortened: bool, own_servers: bool) -> None:
    """Check what is to run. Raises Mistake, with the place in the file of `written`.

    `wanted`: `written` with the changes of the profile and of the command line. `shortened`: the command line says how
    long it lasts, so faults that do not fit are left out. Without `own_servers` targets are known only once the servers
    answer.
    """

    def where(field: str) -> Place:
        instead = written.profiles.get(profile)
        changed = getattr(instead, field, msgspec.UNSET) is not msgspec.UNSET
        return ("profiles", profile, field) if changed else (field,)

    _check_sends(wanted, where)
    _check_bounds(wanted, where("bounds"))
    if own_servers:
        _check_targets(wanted, profile, where("faults"))
    if not shortened:
        _check_times(wanted, where)


def _check_sends(wanted: Experiment, where: Where) -> None:
    if wanted.users < 2:
        raise Mistake(where("users"), "one user has nobody to write to: take at least 2")
    if not (_directs(wanted) or _groups(wanted)):
        text = f"{wanted.users} users have no conversation with it: raise it, or groups_per_user"
        raise Mistake(where("directs_per_user"), text)
    if int(wanted.users * wanted.silent_share) == wanted.users:
        raise Mistake(where("silent_share"), "every device only reads, so nobody sends: take less")
    if not wanted.planned_sends:
        raise Mistake(where("rate_per_s"), f"no send is planned in {wanted.duration_s:g} s: raise it, or duration_s")


def _check_bounds(wanted: Experiment, place: Place) -> None:
    sends = wanted.planned_sends
    members = min(wanted.group_cap, wanted.users) if _groups(wanted) else 2
    most = sends * (members - 1)
    for name, limit, what in (
        ("min_acked", sends, f"the {sends:,} planned sends"),
        ("min_deliveries", most, f"the {most:,} deliveries that {sends:,} planned sends can make"),
    ):
        least = getattr(wanted.bounds, name)
        if least > limit:
            default = ", the default," if least == getattr(Bounds(), name) else ""
            text = f"{least:,}{default} is more than {what}: lower it, or raise rate_per_s or duration_s"
            raise Mistake((*place, name), text)


def _check_targets(wanted: Experiment, profile: str, place: Place) -> None:
    for number, spec in enumerate(wanted.faults):
        fault = FAULTS[spec.name]
        offered = _targets(fault, wanted, profile)
        if not offered:
            text = f"{spec.name} has no target on profile {profile}: {_remedy(fault, wanted, profile)}, or leave it out"
            raise Mistake((*place, number, "name"), text)
        for index, target in enumerate(spec.targets):
            if target not in offered:
                raise Mistake((*place, number, "targets", index), no_such("target", target, offered))


def _check_times(wanted: Experiment, where: Where) -> None:
    least_s = schedule.longest_s(wanted)
    if least_s <= wanted.duration_s:
        return
    times = sum(spec.times for spec in wanted.faults)
    most = max(range(len(wanted.faults)), key=lambda number: wanted.faults[number].times)
    place = (*where("faults"), most, *(["times"] if wanted.faults[most].times > 1 else []))
    raise Mistake(
        place,
        f"{times} faults with the time to recover and the timing take up to {math.ceil(least_s):,} s, "
        f"and duration_s is {wanted.duration_s:g}: raise it, or take fewer or shorter faults",
    )


def _directs(wanted: Experiment) -> int:
    return round(wanted.users * wanted.directs_per_user)


def _groups(wanted: Experiment) -> int:
    return round(wanted.users * wanted.groups_per_user)


def _targets(fault: type[Fault], wanted: Experiment, profile: str) -> tuple[str, ...]:
    return fault.targets(sketch.topology(profile, sketch.settings_of(wanted), root=True))


def _remedy(fault: type[Fault], wanted: Experiment, profile: str) -> str:
    """Return what to change so that the fault has a target."""
    for knob, value in (("push", True), ("mobile_share", 0.5)):
        changed = msgspec.structs.replace(wanted, tier="greenlet", **{knob: value})
        if _targets(fault, changed, profile):
            return f"set {knob}{': true' if value is True else ' above 0'}"
    others = [name for name in PROFILES if _targets(fault, wanted, name)]
    return f"take --profile {' or '.join(others)}" if others else "see petrel faults"
