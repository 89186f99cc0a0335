"""The nodes of a Redis Cluster for the registry and presence: three masters and their replicas.

They know each other, their roles and their slots from the start, by ids derived from the run. So the cluster works as
soon as they answer, without a command that makes it one. The first half of the nodes begin as masters. Like the Redis
under Sentinel they keep nothing on disk but who is who. The bus between them has no password: it listens on the
loopback of this machine, like all of them.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from sut.deploy.place import Place
from sut.deploy.servers import redis
from sut.deploy.topology import Service, ServiceKind, Topology

SLOTS: Final = 16_384
NODE_TIMEOUT_MS: Final = 4_000
"""The silence in ms after which a node is taken for dead; as long as Sentinel's (adapters/redis/tilt.py)."""
_NODES: Final = "nodes.conf"
_CONF: Final = """\
cluster-enabled yes
cluster-config-file {nodes}
cluster-port {bus}
cluster-announce-ip {host}
cluster-node-timeout {timeout_ms}
cluster-require-full-coverage no
cluster-allow-replica-migration no
cluster-replica-validity-factor 0
"""
"""The other slots work while one has no master. A replica is promoted however long it was without its master: its data
is old, and the gateways write it again."""


def services(kind: ServiceKind, count: int, place: Place) -> tuple[Service, ...]:
    """Return the nodes. A dead one stays away until the others have seen it and a replica is promoted."""
    made = redis.servers(kind, count, place, restart_s=redis.RESTART_S)
    return tuple(msgspec.structs.replace(one, ports={**one.ports, "bus": place.port()}) for one in made)


def conf(topology: Topology, service: Service) -> str:
    """Return the configuration of a node, the same for master and replica."""
    return redis.conf(topology, service) + _CONF.format(
        nodes=_NODES, bus=service.ports["bus"], host=service.host, timeout_ms=NODE_TIMEOUT_MS
    )


def nodes_conf(topology: Topology, service: Service) -> str:
    """Return what a node knows of the cluster when it starts for the first time. It keeps the file up to date."""
    nodes = topology.of_kind("shard")
    masters = len(nodes) // 2
    lines = []
    for node in nodes:
        flags = "myself," * (node.name == service.name)
        at = f"{node.host}:{node.ports['redis']}@{node.ports['bus']}"
        number = node.index % masters
        if node.index < masters:
            first, end = number * SLOTS // masters, (number + 1) * SLOTS // masters
            role, slots = "master -", f" {first}-{end - 1}"
        else:
            role, slots = f"slave {node_id(topology, nodes[number])}", ""
        lines.append(f"{node_id(topology, node)} {at} {flags}{role} 0 0 {number + 1} connected{slots}")
    return "\n".join([*lines, f"vars currentEpoch {masters} lastVoteEpoch 0", ""])


def node_id(topology: Topology, service: Service) -> str:
    """Return an id of 40 hex digits that no other node has."""
    return hashlib.sha256(f"{topology.run_id}/{service.name}".encode()).hexdigest()[:40]


def write_conf(topology: Topology, service: Service) -> None:
    """Write the configuration, and the cluster as it begins. Raises OSError."""
    redis.write(topology, service, conf(topology, service), redis.users(topology))
    redis.write_private(redis.conf_path(topology.path, service.name).with_name(_NODES), nodes_conf(topology, service))


def problem(topology: Topology, service: Service, timeout_s: float) -> str | None:
    """Return a node's problem; None if it sees a whole cluster and, as a replica, is in sync with its master."""
    from sut.deploy.probes import probe  # redis-py takes 0.2 s to import: not before the first start

    address, login = (service.host, service.ports["redis"]), topology.redis_login("operator")
    seen = probe.cluster_view(address, timeout_s, login)
    if seen is None:
        return "does not answer"
    if not seen.ok:
        return "says that the cluster is down"
    if seen.covered < SLOTS:
        return f"sees masters for {seen.covered:,} of {SLOTS:,} slots"
    lost = sum(bool(member.flags & {"fail", "fail?"}) for member in seen.members)
    if lost or len(seen.members) < len(topology.of_kind("shard")):
        return f"sees {len(seen.members) - lost} of {len(topology.of_kind('shard'))} nodes"
    return redis.problem(topology, service, timeout_s)
