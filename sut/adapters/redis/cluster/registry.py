"""Registry on a Redis Cluster: leases of gateways and routes of devices, each in the slot of its tag.

Keys
    lease:{NODE}           the lease of a gateway, as in sut/adapters/redis/registry.py; the node's name is the tag
    replaced:{NODE}        connections of this node whose device has registered a newer one elsewhere
    nodes                  sorted set: nodes that had a lease, by the end of that
    routes:{TAG}:{BUCKET}  hash of BUCKET users, as there; the tag is one of TAGS (shards.py)

A script sees one slot, so what one script does under Sentinel takes two round trips here. A lookup reads the routes,
then the leases of their gateways. A registration is written, then the gateways that lost a connection are told; if that
fails they find out when they renew their routes. A bucket due for sweeping is read, and its routes without a lease are
removed by compare and delete. Losses at a failover show in `generation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sut.adapters.redis.cluster.shards import MAX_USERS, Call, Shards, by_slot, place, scripted
from sut.adapters.redis.registry import (
    LEASE,
    RELEASE,
    REPLACED,
    ROUTE_TTL_S,
    UNREGISTER,
    before_each,
    packed_lease,
    packed_replaced,
    packed_route,
    replaced_of,
    unpack_lease,
    unpack_routes,
)
from sut.adapters.redis.script import BUCKET, MAX_BATCH, Script
from sut.ports import Route, Unavailable

_REGISTER: Final = Script("entries.lua", "register_cluster.lua", "register.lua")
_VALUES: Final = Script("values.lua")
_NODES: Final = Script("nodes.lua")
_NOTE: Final = Script("nodes_note.lua")
_NODES_KEY: Final = "nodes"
_TOLD: Final = 10_000
"""Replaced connections of one gateway that are kept, for _TOLD_S seconds after the last."""
_TOLD_S: Final = 60

Entry = tuple[int, Route]


class ClusterRegistry:
    """The registry on the masters of a cluster. Belongs to one event loop; connects at the first call.

    Each method raises Unavailable within about `deadline_s` for each round trip, and at once while a master that it
    needs is known to be away. After an error a write may have happened, in part.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    @property
    def shards(self) -> Shards:
        """The connections, for data kept beside the registry. They are closed with it."""
        return self._shards

    @property
    def generation(self) -> int:
        """Rises when a replica took the place of a master, or one was restarted: register entries again."""
        return self._shards.generation

    @property
    def certain_s(self) -> float:
        """When all masters were last seen in their places. What one took after that may go with it."""
        return self._shards.certain_s

    async def lease(self, node: str, incarnation: int, ttl_s: float, address: str) -> None:
        """Take or renew the lease. Raises Unavailable also when a later incarnation of the node holds it."""
        ttl_ms = round(ttl_s * 1000)
        call = scripted(LEASE, [_lease_key(node)], [packed_lease(incarnation, address), ttl_ms, node])
        (taken,) = await self._shards.run([call])
        if not taken:
            raise Unavailable(f"redis: a later incarnation holds the lease of {node}")
        await self._shards.run([scripted(_NOTE, [_NODES_KEY], [ttl_ms, node])])

    async def release(self, node: str, incarnation: int) -> None:
        """End the lease if this incarnation still holds it."""
        await self._shards.run([scripted(RELEASE, [_lease_key(node)], [packed_lease(incarnation, ""), node])])

    async def gateways(self) -> dict[str, tuple[int, str]]:
        """Return the live leases: node -> (incarnation, address)."""
        (names,) = await self._shards.run([scripted(_NODES, [_NODES_KEY], [])])
        return await self._leases([name.decode() for name in names])

    async def register(self, routes: Sequence[Entry]) -> list[Route | None]:
        """Store routes. Returns the earlier entry of each: None, the replaced one, or one with a higher epoch, which
        stays.

        The replaced entry may be the very same route.
        """
        before: list[Route | None] = []
        due: list[str] = []
        for start in range(0, len(routes), MAX_USERS):
            some = routes[start : start + MAX_USERS]
            groups = by_slot(user for user, _ in some)
            found: list[Route | None] = [None] * len(some)
            answers = await self._shards.run([_on_routes(_REGISTER, some, group, ROUTE_TTL_S) for group in groups])
            for group, answer in zip(groups, answers, strict=True):
                earlier, rest = before_each([some[at][1] for at in group], answer)
                due += (key.decode() for key in rest)
                for at, one in zip(group, earlier, strict=True):
                    found[at] = one
            await self._tell(old for old, (_, new) in zip(found, some, strict=True) if old and _replaces(new, old))
            before += found
        await self._sweep(due)
        return before

    async def replaced(self, node: str, incarnation: int) -> list[int]:
        """Return the connections of this incarnation that were replaced by one at another gateway. Each is returned
        once.
        """
        (answer,) = await self._shards.run([scripted(REPLACED, [_replaced_key(node)], [MAX_BATCH])])
        return replaced_of(answer, incarnation)

    async def unregister(self, routes: Sequence[Entry]) -> None:
        """Remove an entry only if it is exactly this one."""
        for start in range(0, len(routes), MAX_USERS):
            some = routes[start : start + MAX_USERS]
            groups = by_slot(user for user, _ in some)
            await self._shards.run([_on_routes(UNREGISTER, some, group) for group in groups])

    async def routes(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        """Return the users' routes whose lease is live; a user without one is left out."""
        return await self._routes(users, leased=True)

    async def lapsed(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        """Return the users' routes whose lease has ended; a user without one is left out."""
        return await self._routes(users, leased=False)

    async def close(self) -> None:
        """Release the connections to Redis."""
        await self._shards.close()

    async def _routes(self, users: Sequence[int], *, leased: bool) -> Mapping[int, tuple[Route, ...]]:
        stored: dict[int, tuple[Route, ...]] = {}
        for start in range(0, len(users), MAX_USERS):
            some = users[start : start + MAX_USERS]
            groups = by_slot(some)
            answers = await self._shards.run([_values([some[at] for at in group]) for group in groups])
            for group, answer in zip(groups, answers, strict=True):
                found = zip(group, answer, strict=True)
                stored |= {some[at]: tuple(unpack_routes(packed)) for at, packed in found if packed}
        leases = await self._leases({route.node for routes in stored.values() for route in routes})
        chosen = {
            user: tuple(route for route in routes if _lives(route, leases) == leased) for user, routes in stored.items()
        }
        return {user: routes for user, routes in chosen.items() if routes}

    async def _leases(self, nodes: Iterable[str]) -> dict[str, tuple[int, str]]:
        names = list(nodes)
        answers = await self._shards.run([Call(_lease_key(name), ("GET", _lease_key(name))) for name in names])
        return {name: unpack_lease(lease) for name, lease in zip(names, answers, strict=True) if lease}

    async def _tell(self, replaced: Iterable[Route]) -> None:
        """Tell gateways of connections that lost their place to one elsewhere. Some may never hear of it."""
        calls = []
        for old in replaced:
            key = _replaced_key(old.node)
            calls += [
                Call(key, ("RPUSH", key, packed_replaced(old))),
                Call(key, ("LTRIM", key, -_TOLD, -1)),
                Call(key, ("EXPIRE", key, _TOLD_S)),
            ]
        await self._shards.run(calls)

    async def _sweep(self, buckets: Sequence[str]) -> None:
        """Remove the routes without a lease from these buckets."""
        contents = await self._shards.run([Call(key, ("HGETALL", key)) for key in buckets])
        entries: list[Entry] = []
        for key, fields in zip(buckets, contents, strict=True):
            bucket = int(key.rsplit(":", 1)[1])
            for field, packed in zip(fields[::2], fields[1::2], strict=True):
                entries += ((bucket * BUCKET + int(field), route) for route in unpack_routes(packed))
        leases = await self._leases({route.node for _, route in entries})
        await self.unregister([entry for entry in entries if not _lives(entry[1], leases)])


def _lease_key(node: str) -> str:
    return f"lease:{{{node}}}"


def _replaced_key(node: str) -> str:
    return f"replaced:{{{node}}}"


def _lives(route: Route, leases: Mapping[str, tuple[int, str]]) -> bool:
    return route.node in leases and leases[route.node][0] == route.incarnation


def _replaces(new: Route, old: Route) -> bool:
    """Return True if the old entry lost its place to one at another gateway."""
    return new.node != old.node and old.epoch <= new.epoch


def _values(users: Sequence[int]) -> Call:
    places = [place("routes", user) for user in users]
    return scripted(_VALUES, [key for key, _ in places], [field for _, field in places])


def _on_routes(script: Script, routes: Sequence[Entry], group: Sequence[int], *first: int) -> Call:
    """Return the call for these of the routes, which are in one slot."""
    keys: list[str] = []
    arguments: list[bytes | str | int] = [*first]
    for user, route in (routes[at] for at in group):
        key, field = place("routes", user)
        keys.append(key)
        arguments += (field, packed_route(route))
    return scripted(script, keys, arguments)
