"""The topology of a profile, used to find which faults apply to it. Starts and builds nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from chaos.errors import UsageError, no_such
from chaos.faults import FAULTS
from chaos.faults.fault import Need, unavailable
from chaos.run import schedule
from chaos.run.experiment import Experiment
from chaos.run.schedule import Schedule
from chaos.run.yamlfile import Mistake
from sut.deploy import throttle
from sut.deploy.docker.zones import Containers
from sut.deploy.kinds import KINDS
from sut.deploy.machine import may_isolate
from sut.deploy.net.links import Links
from sut.deploy.net.packets import Packets
from sut.deploy.place import Place
from sut.deploy.profiles import PROFILES, build
from sut.deploy.servers import binaries
from sut.deploy.topology import Settings, Topology

_SOMEWHERE: Final = Containers(subnet="10.128.0.0/22", user="1:1", images=dict.fromkeys(("", *KINDS), "image"))
"""Containers that are never made."""


class Offer(NamedTuple):
    """The availability of one fault on a profile."""

    targets: tuple[str, ...]
    unavailable: str | None
    """The reason why it cannot be injected here; None if it can."""
    remark: str = ""
    """The preparation that is needed first, such as a build; else ""."""


def settings_of(experiment: Experiment) -> Settings:
    """Return the settings of a system on which the experiment runs."""
    faults = [FAULTS[spec.name] for spec in experiment.faults]
    return Settings(
        devices=experiment.users,
        heartbeat_s=experiment.heartbeat_s,
        push=experiment.push,
        receipts=experiment.read_share > 0,
        cells=experiment.cells if experiment.mobile_share else (),
        clocks=tuple(sorted({fault.kind for fault in faults if fault.own_clock})),
    )


def check_settings(experiment: Experiment, settings: Settings) -> None:
    """Check that a system with these settings can do what the experiment asks. Raises UsageError."""
    wanted = settings_of(experiment)
    for name in ("push", "receipts"):
        if getattr(wanted, name) and not getattr(settings, name):
            raise UsageError(f"experiment {experiment.name} needs {name}, and that system runs without")
    if wanted.cells:
        raise UsageError(f"experiment {experiment.name} has mobile devices, whose cells that system does not have")
    if wanted.heartbeat_s < settings.heartbeat_s:
        raise UsageError(
            f"experiment {experiment.name} needs a heartbeat of {wanted.heartbeat_s:g} s; that system has "
            f"{settings.heartbeat_s:g} s"
        )


def topology(profile: str, settings: Settings | None = None, *, root: bool | None = None) -> Topology:
    """Return a topology with the names of the real one, and with invented paths and ports.

    `settings`: by default one without a push service. `root`: as if we were root, or not; None: as we are.
    """
    ports = itertools.count(1)
    return build(
        profile,
        Place(
            directory=Path.cwd(),
            redis_server=Path("redis-server"),
            toxiproxy=Path("toxiproxy-server"),
            port=lambda *_hosts: next(ports),
            settings=settings or Settings(push=False),
            variant=None,
            kafka_jars=Path("kafka"),
            cassandra_jars=Path("cassandra"),
            root=not PROFILES[profile].containers and (may_isolate() if root is None else root),
            gid=lambda: 1,
            faketime=None if PROFILES[profile].containers else Path("libfaketime"),
            containers=_SOMEWHERE if PROFILES[profile].containers else None,
        ),
    )


def lacks_of(topology: Topology) -> dict[Need, Callable[[], str | None]]:
    """Return for each need of a fault what tells the reason why a running system cannot meet it here; None: it can."""
    return {
        "links": Links(topology).available,
        "packets": Packets(topology.run_id).available,
        "disk": partial(throttle.lacking, topology.path),
    }


def offers(profile: str, settings: Settings | None = None) -> dict[str, Offer]:
    """Return the availability of every fault, by name. `settings`: by default those without a push service."""
    made = topology(profile, settings)
    toxiproxy = binaries.find_toxiproxy(on_progress=lambda _text: None, install=False)
    packets = Packets("none").available()
    links = None if made.contained or toxiproxy.path or toxiproxy.can_build else toxiproxy.reason
    lacks: dict[Need, Callable[[], str | None]] = {
        "links": lambda: links,
        "packets": lambda: packets,
        "disk": partial(throttle.lacking, made.path),
    }
    found = {}
    for name, fault in FAULTS.items():
        reason = unavailable(fault, topology=made, lacks=lacks)
        builds = reason is None and "links" in fault.needs and toxiproxy.path is None and not made.contained
        found[name] = Offer(fault.targets(made), reason, toxiproxy.reason if builds else "")
    return found


def check_targets(recorded: Schedule) -> None:
    """Check that every target exists on the schedule's profile. Raises Mistake."""
    if recorded.profile not in PROFILES:
        raise Mistake(("profile",), no_such("profile", recorded.profile, PROFILES))
    made = topology(recorded.profile, settings_of(recorded.experiment))
    schedule.check_targets(recorded, {name: fault.targets(made) for name, fault in FAULTS.items()})
