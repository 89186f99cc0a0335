"""A system that somebody else started, driven by its topology file. It is never started, stopped, killed or restarted.

Nothing is sent to a host that the user has not named before. All its services count as somebody else's, so faults on
processes and packets have no target. Links that the user names may be broken, if their proxy is there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from sut.deploy.errors import DeployError
from sut.deploy.kinds import KINDS
from sut.deploy.probes import health
from sut.deploy.supervise.state import Files, ProcessState
from sut.deploy.system import System
from sut.deploy.topology import Service, Topology, TopologyError, load, save

TIMEOUT_S: Final = 3.0
"""Time limit of each question. A foreign network is slower than the loopback."""
MOST_TOLD: Final = 5
LOOPBACK: Final = "127.0.0.1"


class Dialed(NamedTuple):
    """An address that a run sends packets to."""

    host: str
    port: int
    who: str


class Elsewhere(System):
    """A system that others run. `topology` has the links that may be broken, and no others."""

    def __init__(self, topology: Topology, *, allowed: frozenset[str]) -> None:
        super().__init__(topology)
        self.allowed = allowed
        """The hosts that packets may go to."""

    @property
    def running(self) -> bool:
        """True: whether it works is seen by asking."""
        return True

    def state(self) -> dict[str, ProcessState]:
        """Return for every service that its process is not ours to know."""
        return {service.name: ProcessState(status="external") for service in self.topology.services}

    def pid(self, name: str) -> int | None:
        """Return None: no process of it is ours. Raises TopologyError."""
        self.topology.service(name)
        return None

    def stop(self, timeout_s: float = 0.0) -> tuple[str, ...]:
        """Do nothing: it goes on."""
        return ()

    def open(self) -> tuple[str, ...]:
        """Write the run's own topology.json, and see that the chat system works. Raises DeployError.

        All sequencers must work, and one process of each other kind: an autoscaler may not have started the others.
        Returns the names of those that do not work.
        """
        try:
            Files(self.topology.path).prepare()
            save(self.topology)
        except OSError as error:
            raise DeployError(f"cannot write to {error.filename or self.topology.path}: {error.strerror}") from None
        away: list[str] = []
        for kind in dict.fromkeys(service.kind for service in self.topology.services if KINDS[service.kind].serves):
            services = self.topology.of_kind(kind)
            told = [(one, problem) for one in services if (problem := health.problem(self.topology, one, TIMEOUT_S))]
            if len(told) == len(services) or (told and kind == "sequencer"):
                first, problem = told[0]
                raise DeployError(f"{first.name} at {first.host}: {problem}")
            away += [service.name for service, _ in told]
        return tuple(away)


def planned(
    file: Path, *, directory: Path, run_id: str, allowed: Collection[str], may_break: Collection[str]
) -> Elsewhere:
    """Return the system of a topology file, with nothing asked yet. Raises TopologyError, one line.

    `run_id`: of this run, by which its own processes are found. `allowed`: hosts that packets may go to. `may_break`:
    names of links that faults may break.
    """
    there = load(file)
    if unknown := [name for name in may_break if name not in {link.name for link in there.links}]:
        known = ", ".join(sorted(link.name for link in there.links)) or "none"
        raise TopologyError(f"no link {unknown[0]!r} in {file}; there are {known}")
    services = tuple(msgspec.structs.replace(service, external=True) for service in there.services)
    links = tuple(link for link in there.links if link.name in may_break)
    topology = msgspec.structs.replace(
        there,
        services=services,
        links=links,
        run_id=run_id,
        log_id=there.log_id or there.run_id,
        dir=str(directory.absolute()),
    )
    dialed = list(_dialed(topology))
    if refused := [one for one in dialed if one.host not in allowed]:
        told = ", ".join(f"{one.who} at {one.host}:{one.port}" for one in refused[:MOST_TOLD])
        more = f", and {len(refused) - MOST_TOLD} more" if len(refused) > MOST_TOLD else ""
        hosts = ",".join(dict.fromkeys(one.host for one in refused))
        raise TopologyError(f"not allowed: {told}{more}; name {hosts} in --allow if that system may be driven")
    if strange := [host for host in allowed if host not in {one.host for one in dialed}]:
        raise TopologyError(f"{strange[0]!r} is allowed and is no host of {file}")
    return Elsewhere(topology, allowed=frozenset(allowed))


def _dialed(topology: Topology) -> Iterator[Dialed]:
    """Yield every address that a run on this system sends packets to."""
    for service in topology.services:
        if KINDS[service.kind].serves or topology.links:
            yield from _ports_of(service, service.ports)
    for link in topology.links:
        yield Dialed(LOOPBACK, link.listen, link.name)


def _ports_of(service: Service, roles: Collection[str]) -> Iterator[Dialed]:
    for role in roles:
        host = service.public_host or service.host if role in ("ws", "http") else service.host
        yield Dialed(host, service.ports[role], f"{service.name} {role}")
