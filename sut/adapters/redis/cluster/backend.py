"""Opens registry, presence and revocations on a Redis Cluster."""

from __future__ import annotations

from sut.adapters.redis.backend import DEADLINE_S
from sut.adapters.redis.cluster.presence import ClusterPresence
from sut.adapters.redis.cluster.registry import ClusterRegistry
from sut.adapters.redis.cluster.revocations import ClusterRevocations
from sut.adapters.redis.cluster.shards import Shards
from sut.adapters.shared.site import Site


def open_registry(site: Site) -> ClusterRegistry:
    return ClusterRegistry(_shards(site))


def open_presence(site: Site, ttl_s: float) -> ClusterPresence:
    """Open presence on its own connections, so that a slow look delays no route."""
    return ClusterPresence(_shards(site), ttl_s=ttl_s)


def open_revocations(registry: ClusterRegistry) -> ClusterRevocations:
    """Return the list of revoked devices, over the connections of `registry`."""
    return ClusterRevocations(registry.shards)


def _shards(site: Site) -> Shards:
    dialed = site.dialed("shard", "redis")
    login = site.topology.redis_login("service")
    return Shards(list(dialed.values()), address_map=dialed, deadline_s=DEADLINE_S, login=login)
