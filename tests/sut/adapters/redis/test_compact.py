"""What a user costs in Redis, and that what nobody needs any more is removed from the buckets."""

import time
from typing import Final

from sut.adapters.redis.presence import KEPT_S
from sut.adapters.redis.registry import ROUTE_TTL_S
from sut.ports import Route
from tests.sut.adapters.conftest import opened_presence, opened_registry
from tests.sut.adapters.redis_system import RedisSystem

FIRST: Final = range(1, 5001)
"""After these, the buffers of the server have their size."""
USERS: Final = range(5001, 25_001)
NOW: Final = 1_796_000_000_000_000
MOST_B: Final = 120
"""Bytes of a user with one device at a node, with room for other allocators; a key for each user takes 267."""
DEVICES: Final = 20
DAY_S: Final = 86_400


def route(user: int, *, device: int = 0, node: str = "gateway-1") -> Route:
    return Route(device or user, node, NOW, user, NOW // 1000)


def used(system: RedisSystem) -> int:
    """Bytes that the master has allocated, without what it keeps of the stream to its replica."""
    master = system.master()
    assert master is not None
    info = system.ask(master, "INFO", "memory")
    assert isinstance(info, dict)
    stream = info.get("mem_total_replication_buffers", info["mem_replication_backlog"])
    return int(info["used_memory"]) - int(stream)


async def test_a_user_costs_few_bytes(redis_system: RedisSystem) -> None:
    redis_system.forget_all()
    async with opened_registry(redis_system) as registry, opened_presence(redis_system, ttl_s=60.0) as presence:
        await registry.lease("gateway-1", NOW, 60.0, "ws://one")
        await registry.register([(user, route(user)) for user in FIRST])
        await presence.here("gateway-1", NOW, FIRST)
        before = used(redis_system)
        await registry.register([(user, route(user)) for user in USERS])
        await presence.here("gateway-1", NOW, USERS)
        assert (used(redis_system) - before) / len(USERS) < MOST_B
        assert len(await registry.routes(USERS)) == len(USERS)
        assert all(online for online, _ in (await presence.look(USERS)).values())


async def test_a_user_with_many_devices_keeps_its_bucket_compact(redis_system: RedisSystem) -> None:
    redis_system.forget_all()
    async with opened_registry(redis_system) as registry:
        await registry.lease("gateway-1", NOW, 60.0, "ws://one")
        routes = [(7, route(7, device=100 + number)) for number in range(DEVICES)]
        await registry.register(routes)
        assert set((await registry.routes([7]))[7]) == {one for _, one in routes}
        master = redis_system.master()
        assert master is not None
        assert redis_system.ask(master, "OBJECT", "ENCODING", "routes:0") in (b"ziplist", b"listpack")


async def test_a_bucket_loses_dead_routes_when_it_is_renewed(redis_system: RedisSystem) -> None:
    redis_system.forget_all()
    master = redis_system.master()
    assert master is not None
    async with opened_registry(redis_system) as registry:
        await registry.lease("gateway-1", NOW, 60.0, "ws://one")
        gone = route(1, node="gateway-gone")
        await registry.register([(1, gone), (2, route(2)), (3, route(3)), (3, route(3, device=9, node="gateway-gone"))])
        await registry.register([(2, route(2))])
        assert await registry.lapsed([1]) == {1: (gone,)}
        redis_system.ask(master, "EXPIRE", "routes:0", str(ROUTE_TTL_S // 2 - 1))
        assert await registry.register([(2, route(2))]) == [route(2)]
        assert await registry.lapsed([1, 3]) == {}
        assert await registry.routes([2, 3]) == {2: (route(2),), 3: (route(3),)}
        assert redis_system.ask(master, "TTL", "routes:0") == ROUTE_TTL_S


async def test_a_bucket_loses_users_who_were_not_seen_for_a_week(redis_system: RedisSystem) -> None:
    redis_system.forget_all()
    master = redis_system.master()
    assert master is not None
    async with opened_presence(redis_system, ttl_s=60.0) as presence:
        await presence.here("gateway-1", NOW, [1, 2, 3])
        await presence.gone("gateway-1", NOW, [1, 2])
        long_ago_ms = int(time.time() - KEPT_S - DAY_S) * 1000
        redis_system.ask(master, "HSET", "presence:0", "2", long_ago_ms.to_bytes(6, "big"))
        redis_system.ask(master, "EXPIRE", "presence:0", str(KEPT_S - DAY_S - 1))
        await presence.here("gateway-1", NOW, [3])
        seen = await presence.look([1, 2, 3])
        assert seen[1][1] > 0
        assert seen[2] == (False, 0)
        assert seen[3][0]
        assert redis_system.ask(master, "TTL", "presence:0") == KEPT_S
