"""Foreign servers that already run, found by address: their members, and the services of a topology for them.

A user names one address or more. The servers themselves name all members, each by the address that it tells its
clients. That own address is the service's, and a link's proxy dials it; our processes dial the proxy. Nothing is
started, stopped or changed here, and only a few questions are asked. access.py says how these servers let us in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from sut.adapters.cassandra import probe as cql_probe
from sut.adapters.kafka import probe as kafka_probe
from sut.adapters.redis import admin as redis_admin
from sut.deploy import access
from sut.deploy.errors import DeployError
from sut.deploy.logins import Login, login_of
from sut.deploy.topology import Service, ServiceKind, Topology
from sut.ports import Unavailable

Address = tuple[str, int]
T = TypeVar("T")

TIMEOUT_S: Final = 3.0
"""Time limit of each question. A foreign network is slower than the loopback."""
REPLICAS: Final = 3
"""Replicas of each partition of the log and each row of the store; two of them confirm a write."""
_SECURED: Final = ("closed", "reset by peer", "not as a", "asks for a password", "Authentication required", "NOAUTH")
"""What is seen of a server that asks for TLS or a password, by a client that has neither."""
_ADDRESS: Final = re.compile(r"(?:\[([0-9a-fA-F:]+)\]|([\w.-]+)):(\d{1,5})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Servers:
    """The servers that a user names. A kind without an address is run by us."""

    kafka: tuple[Address, ...] = ()
    cassandra: tuple[Address, ...] = ()
    sentinels: tuple[Address, ...] = ()
    redis_master: str = "petrel"
    topic: str | None = None
    """None: a name that no other run has."""
    keyspace: str | None = None
    """None: a name that no other run has."""
    log_id: str | None = None
    """None: the run's id, which is right for a new topic."""
    secrets: str = ""
    """Absolute path of the file that says how to get in; "": no file."""

    @property
    def kinds(self) -> frozenset[ServiceKind]:
        """The kinds that we must not start."""
        kinds: set[ServiceKind] = set()
        if self.kafka:
            kinds.add("kafka")
        if self.cassandra:
            kinds.add("cassandra")
        if self.sentinels:
            kinds |= {"redis", "sentinel"}
        return frozenset(kinds)


def parse_addresses(text: str) -> tuple[Address, ...]:
    """Parse `HOST:PORT[,HOST:PORT...]` and drop duplicates. Raises ValueError, one line."""
    found = []
    for part in text.split(","):
        match = _ADDRESS.fullmatch(part.strip())
        if match is None or not 0 < int(match[3]) < 1 << 16:
            raise ValueError(f"{part.strip()!r} is not HOST:PORT")
        found.append((match[1] or match[2], int(match[3])))
    return tuple(dict.fromkeys(found))


def discover(servers: Servers) -> Mapping[ServiceKind, tuple[Service, ...]]:
    """Return a service for each member after it answered at its own address. Raises DeployError, one line."""
    try:
        ways = access.read(servers.secrets) if servers.kinds else {}
    except access.AccessError as error:
        raise DeployError(str(error)) from None
    logins = {kind: login_of(ways, kind, {}) for kind in access.KINDS}
    found: dict[ServiceKind, tuple[Service, ...]] = {}
    if servers.kafka:
        found["kafka"] = _brokers(servers.kafka, logins["kafka"])
    if servers.cassandra:
        found["cassandra"] = _nodes(servers.cassandra, logins["cassandra"])
    if servers.sentinels:
        found |= _redis(servers, logins["redis"], logins["sentinel"])
    return found


def _brokers(asked: tuple[Address, ...], login: Login | None) -> tuple[Service, ...]:
    brokers = _first("", asked, lambda address: kafka_probe.brokers(address, TIMEOUT_S, login), login)
    _enough("kafka", "broker", len(brokers))
    own = [brokers[node] for node in sorted(brokers)]
    _reach("kafka", own, asked, lambda address: kafka_probe.brokers(address, TIMEOUT_S, login))
    return _services("kafka", "client", own)


def _nodes(asked: tuple[Address, ...], login: Login | None) -> tuple[Service, ...]:
    nodes = _first("", asked, lambda address: cql_probe.members(address, TIMEOUT_S, login), login)
    _enough("cassandra", "node", len(nodes))
    _reach("cassandra", nodes, asked, lambda address: cql_probe.view(address, TIMEOUT_S, login))
    return _services("cassandra", "cql", sorted(nodes))


def _redis(
    servers: Servers, login: Login | None, at_sentinel: Login | None
) -> Mapping[ServiceKind, tuple[Service, ...]]:
    asked, name = servers.sentinels, servers.redis_master
    members = _first(
        "sentinel ", asked, lambda one: redis_admin.sentinel_members(one, name, TIMEOUT_S, at_sentinel), at_sentinel
    )
    _reach("redis", members.nodes, asked, lambda address: redis_admin.role(address, TIMEOUT_S, login))
    if users := redis_admin.leased(members.nodes[0], TIMEOUT_S, login):
        raise DeployError(
            f"redis {name}: {', '.join(users)} of another system use it, or did a few seconds ago; "
            "their routes and ours would mix"
        )
    others = [one for one in members.sentinels if one not in asked]
    return {
        "redis": _services("redis", "redis", members.nodes),
        "sentinel": _services("sentinel", "redis", (*asked, *others)),
    }


def named(topology: Topology, servers: Servers) -> Topology:
    """Return the topology with its own names on servers that it shares with other runs."""
    run = topology.run_id
    return msgspec.structs.replace(
        topology,
        redis_master=servers.redis_master if servers.sentinels else topology.redis_master,
        topic=(servers.topic or f"petrel-{run}") if servers.kafka else topology.topic,
        keyspace=(servers.keyspace or f"petrel_{run}") if servers.cassandra else topology.keyspace,
        log_id=servers.log_id or topology.log_id,
        secrets=servers.secrets if servers.kinds else "",
        secret_variables=access.variables() if servers.kinds else (),
    )


def _first(label: str, addresses: Iterable[Address], ask: Callable[[Address], T], login: Login | None) -> T:
    """Return the first answer. Raises DeployError with the error of each address.

    A server that asks for TLS says nothing that a client without it understands, so the error says where to look.
    """
    refusals = []
    for address in addresses:
        try:
            return ask(address)
        except Unavailable as error:
            refusals.append(f"{label}{error}")
    told = "; ".join(refusals)
    guess = login is None and any(sign in told for sign in _SECURED)
    raise DeployError(told + (" (does it ask for TLS or a password? see --secrets)" if guess else ""))


def _enough(server: str, member: str, count: int) -> None:
    if count < REPLICAS:
        raise DeployError(f"{server}: {count} {member}{'s' * (count != 1)}, and {REPLICAS} replicas need {REPLICAS}")


def _reach(server: str, own: Iterable[Address], asked: Iterable[Address], look: Callable[[Address], object]) -> None:
    """Query each member at its own address. Raises DeployError."""
    for address in own:
        try:
            look(address)
        except Unavailable as error:
            known = ", ".join(f"{host}:{port}" for host, port in asked)
            raise DeployError(f"{server} at {known} names a member that cannot be used from here: {error}") from None


def _services(kind: ServiceKind, role: str, addresses: Iterable[Address]) -> tuple[Service, ...]:
    return tuple(
        Service(name=f"{kind}-{index + 1}", kind=kind, index=index, host=host, ports={role: port}, external=True)
        for index, (host, port) in enumerate(addresses)
    )
