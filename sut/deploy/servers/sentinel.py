"""Sentinels, which watch the Redis nodes and choose a new master.

They know the replicas and each other from the start, by ids derived from the run. So a failover is possible as soon as
they answer, instead of after ten seconds of discovery.
"""

from __future__ import annotations

import hashlib
from typing import Final

from sut.adapters.redis.tilt import DOWN_AFTER_MS, tilt_problem
from sut.deploy.logins import redis_login, sentinel_users
from sut.deploy.place import Place
from sut.deploy.probes import probe
from sut.deploy.servers import redis
from sut.deploy.topology import Service, ServiceKind, Topology

_SENTINEL: Final = """\
sentinel myid {own_id}
sentinel monitor {master_name} {master_host} {master_port} {quorum}
sentinel down-after-milliseconds {master_name} {down_after_ms}
sentinel failover-timeout {master_name} 6000
sentinel parallel-syncs {master_name} 1
"""


def services(kind: ServiceKind, count: int, place: Place) -> tuple[Service, ...]:
    """Return the Sentinels as services."""
    return redis.servers(kind, count, place, "--sentinel")


def conf(topology: Topology, service: Service) -> str:
    """Return its configuration. The first redis of the topology is its first master. Sentinel rewrites the file."""
    master, *replicas = topology.of_kind("redis")
    sentinels = topology.of_kind("sentinel")
    name = topology.redis_master
    text = redis.common_conf(topology, service) + _SENTINEL.format(
        own_id=_sentinel_id(topology, service),
        master_name=name,
        master_host=master.host,
        master_port=master.ports["redis"],
        quorum=len(sentinels) // 2 + 1,
        down_after_ms=DOWN_AFTER_MS,
    )
    for replica in replicas:
        text += f"sentinel known-replica {name} {replica.host} {replica.ports['redis']}\n"
    for other in sentinels:
        if other.name != service.name:
            known = f"{other.host} {other.ports['redis']} {_sentinel_id(topology, other)}"
            text += f"sentinel known-sentinel {name} {known}\n"
    if login := redis_login(topology.redis_key, "sentinel"):
        text += f"sentinel auth-user {name} {login.user}\nsentinel auth-pass {name} {login.password}\n"
        text += f"sentinel sentinel-user {login.user}\nsentinel sentinel-pass {login.password}\n"
    return text


def write_conf(topology: Topology, service: Service) -> None:
    """Write the configuration. Raises OSError."""
    users = sentinel_users(topology.redis_key) if topology.redis_key else ""
    redis.write(topology, service, conf(topology, service), users)


def problem(topology: Topology, service: Service, timeout_s: float) -> str | None:
    """Return a Sentinel's problem, None when it sees the others and a master. Each look takes `timeout_s` at most."""
    login = topology.sentinel_login("operator")
    view = probe.sentinel_view((service.host, service.ports["redis"]), topology.redis_master, timeout_s, login)
    if view is None:
        return "does not answer"
    if tilt := tilt_problem({service.name: view}):
        return tilt.removeprefix(f"{service.name} ")
    replicas, others = len(topology.of_kind("redis")) - 1, len(topology.of_kind("sentinel")) - 1
    if view.flags != {"master"}:
        return f"sees the master as {', '.join(sorted(view.flags))}"
    if (view.replicas, view.sentinels) != (replicas, others):
        return f"sees {view.replicas} of {replicas} replicas and {view.sentinels} of {others} other sentinels"
    role = probe.redis_role(view.master, timeout_s, topology.redis_login("operator"))
    return None if role is not None and role.role == "master" else "names a master that is not one"


def _sentinel_id(topology: Topology, service: Service) -> str:
    """Return an id of 40 hex digits that no other Sentinel has."""
    return hashlib.sha256(f"{topology.run_id}/{service.name}".encode()).hexdigest()[:40]
