"""Whether a service does what it is there for, asked from outside: what a start waits for.

One function a kind: None when healthy, else one line of what is wrong. Each takes at most about the timeout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sut.adapters.redis.tilt import tilt_problem
from sut.deploy.net.links import Links
from sut.deploy.probes import probe
from sut.deploy.servers import cassandra as cassandra_server
from sut.deploy.servers import kafka as kafka_server
from sut.deploy.topology import Service, ServiceKind, Topology

Address = tuple[str, int]


def problem(topology: Topology, service: Service, timeout_s: float) -> str | None:
    """None: healthy."""
    return _CHECKS[service.kind](topology, service, timeout_s)


def _peer(_topology: Topology, service: Service, timeout_s: float) -> str | None:
    pong = probe.peer_ping((service.host, service.ports["peer"]), timeout_s)
    if pong is None:
        return "does not answer a ping"
    return None if pong.node == service.name else f"its port answers as {pong.node}"


def _gateway(topology: Topology, service: Service, timeout_s: float) -> str | None:
    """Answers, and notifications can reach it."""
    pong = probe.peer_ping((service.host, service.ports["peer"]), timeout_s)
    if pong is None or pong.node != service.name:
        return _peer(topology, service, timeout_s)
    return None if pong.stats.get("whole", 1.0) else "lacks its lease or a link from a sequencer"


def _ready(topology: Topology, service: Service, timeout_s: float) -> str | None:
    """Answers, and has reached its log and its store once."""
    pong = probe.peer_ping((service.host, service.ports["peer"]), timeout_s)
    if pong is None or pong.node != service.name:
        return _peer(topology, service, timeout_s)
    return None if pong.stats.get("ready", 1.0) else "has not reached its log and its store yet"


def _volume(_topology: Topology, _service: Service, _timeout_s: float) -> str | None:
    """Whoever needs it starts only when it is mounted."""
    return None


def _api(topology: Topology, service: Service, timeout_s: float) -> str | None:
    ca = topology.tls.ca if topology.tls is not None else None
    host = service.public_host or service.host
    status = probe.http_status((host, service.ports["http"]), "/v1/health", timeout_s, ca)
    if status != 200:
        return f"GET /v1/health: {status or 'no answer'}"
    return _ready(topology, service, timeout_s)


def _redis(_topology: Topology, service: Service, timeout_s: float) -> str | None:
    role = probe.redis_role(_redis_address(service), timeout_s)
    if role is None:
        return "does not answer"
    return None if role.linked else "a replica that is not in step with its master"


def _sentinel(topology: Topology, service: Service, timeout_s: float) -> str | None:
    view = probe.sentinel_view(_redis_address(service), topology.redis_master, timeout_s)
    if view is None:
        return "does not answer"
    if tilt := tilt_problem({service.name: view}):
        return tilt.removeprefix(f"{service.name} ")
    replicas, others = len(topology.of_kind("redis")) - 1, len(topology.of_kind("sentinel")) - 1
    if view.flags != {"master"}:
        return f"sees the master as {', '.join(sorted(view.flags))}"
    if (view.replicas, view.sentinels) != (replicas, others):
        return f"sees {view.replicas} of {replicas} replicas and {view.sentinels} of {others} other sentinels"
    role = probe.redis_role(view.master, timeout_s)
    return None if role is not None and role.role == "master" else "names a master that is none"


def _toxiproxy(topology: Topology, _service: Service, timeout_s: float) -> str | None:
    return Links(topology, timeout_s=timeout_s).available()


def _redis_address(service: Service) -> Address:
    return service.host, service.ports["redis"]


_CHECKS: Final[dict[ServiceKind, Callable[[Topology, Service, float], str | None]]] = {
    "gateway": _gateway,
    "chat": _ready,
    "sequencer": _ready,
    "api": _api,
    "push": _ready,
    "provider": _peer,
    "redis": _redis,
    "sentinel": _sentinel,
    "toxiproxy": _toxiproxy,
    "kafka": kafka_server.problem,
    "cassandra": cassandra_server.problem,
    "volume": _volume,
}
