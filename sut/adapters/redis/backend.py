"""Opens registry, presence and revocations on Redis under Sentinel."""

from __future__ import annotations

from typing import Final

from sut.adapters.redis.master import RedisMaster
from sut.adapters.redis.presence import RedisPresence
from sut.adapters.redis.registry import RedisRegistry
from sut.adapters.redis.revocations import RedisRevocations
from sut.adapters.shared.site import Site

DEADLINE_S: Final = 0.3


def open_registry(site: Site) -> RedisRegistry:
    return RedisRegistry(open_master(site))


def open_presence(site: Site, ttl_s: float) -> RedisPresence:
    """Open presence on its own connection, so that a slow look delays no route."""
    return RedisPresence(open_master(site), ttl_s=ttl_s)


def open_revocations(registry: RedisRegistry) -> RedisRevocations:
    """Return the list of revoked devices, over the connections of `registry`."""
    return RedisRevocations(registry.master)


def open_master(site: Site) -> RedisMaster:
    """Open a client of the present master."""
    topology, node = site
    return RedisMaster(
        sentinels=[topology.dial(node, sentinel.name, "redis") for sentinel in topology.of_kind("sentinel")],
        master_name=topology.redis_master,
        address_map=site.dialed("redis", "redis"),
        deadline_s=DEADLINE_S,
        login=topology.redis_login("service"),
        sentinel_login=topology.sentinel_login("service"),
    )
