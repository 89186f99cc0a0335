"""The topology of a profile, used to find which faults apply to it. Starts and builds nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from chaos.faults import FAULTS
from chaos.faults.fault import Need, unavailable
from chaos.run import schedule
from chaos.run.experiment import Experiment
from chaos.run.schedule import Schedule
from sut.deploy.machine import may_isolate
from sut.deploy.net.packets import Packets
from sut.deploy.place import Place
from sut.deploy.profiles import build
from sut.deploy.servers import binaries
from sut.deploy.topology import Settings, Topology


class Offer(NamedTuple):
    """The availability of one fault on a profile."""

    targets: tuple[str, ...]
    unavailable: str | None
    """The reason why it cannot be injected here; None if it can."""
    remark: str = ""
    """The preparation that is needed first, such as a build; else ""."""


def topology(profile: str, *, push: bool = False) -> Topology:
    """Return a topology with the names of the real one, and with invented paths and ports."""
    ports = itertools.count(1)
    return build(
        profile,
        Place(
            directory=Path.cwd(),
            redis_server=Path("redis-server"),
            toxiproxy=Path("toxiproxy-server"),
            port=lambda *_hosts: next(ports),
            settings=Settings(push=push),
            variant=None,
            kafka_jars=Path("kafka"),
            cassandra_jars=Path("cassandra"),
            root=may_isolate(),
            gid=lambda: 1,
        ),
    )


def offers(profile: str) -> dict[str, Offer]:
    """Return the availability of every fault, by name."""
    made = topology(profile)
    toxiproxy = binaries.find_toxiproxy(on_progress=lambda _text: None, install=False)
    packets = Packets("none").available()
    links = None if toxiproxy.path or toxiproxy.can_build else toxiproxy.reason
    lacks: dict[Need, Callable[[], str | None]] = {"links": lambda: links, "packets": lambda: packets}
    found = {}
    for name, fault in FAULTS.items():
        reason = unavailable(fault, topology=made, lacks=lacks)
        builds = reason is None and "links" in fault.needs and toxiproxy.path is None
        found[name] = Offer(fault.targets(made), reason, toxiproxy.reason if builds else "")
    return found


def check_targets(wanted: Experiment | Schedule, profile: str) -> None:
    """Check that every named target exists on this profile. Raises UsageError."""
    experiment = wanted.experiment if isinstance(wanted, Schedule) else wanted
    made = topology(profile, push=experiment.push)
    targets = {name: fault.targets(made) for name, fault in FAULTS.items()}
    if isinstance(wanted, Schedule):
        schedule.check_targets(wanted, targets)
        return
    for spec in wanted.faults:
        if targets[spec.name]:  # a fault without any target on this profile is left out
            schedule.check_named(spec, targets[spec.name])
