"""Registry on Redis with Sentinel: leases of gateways and routes of devices.

Keys
    lease:{node}    string with a time to live: the incarnation that lives, and the address that clients dial
    nodes           set: nodes that had a lease at the last read of all leases
    routes:{bucket} hash of BUCKET users: user % BUCKET -> the packed routes of the user's devices
    replaced:{node} list: connections of this node whose device has registered a newer one elsewhere; kept for a minute

entries.lua says what a packed route is. It counts only while lease:{node} holds the same incarnation, so a gateway that
dies takes its routes with it. A bucket expires a day after the last registration in it, and loses the routes without a
lease when half of that is over; a gateway that holds a connection longer registers it again. Each method is one script
(the .lua files here) for up to MAX_BATCH entries, so one round trip. Redis replicates asynchronously: after a failover
the newest entries may be lost, which `generation` tells.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from sut.adapters.redis.master import RedisMaster
from sut.adapters.redis.script import MAX_BATCH, Script, parts, place
from sut.ports import Route, Unavailable

ROUTE_TTL_S: Final = 86_400
_ROUTE: Final = struct.Struct("!QQQQB")
_INCARNATION: Final = struct.Struct("!Q")
_REPLACED_CONN: Final = struct.Struct("!QQ")


class RedisRegistry:
    """The registry on the present master. Belongs to one event loop; connects at the first call.

    Each method raises Unavailable within about `deadline_s` (a round trip), and at once while Redis is known to be
    away. After an error a write may have happened.
    """

    def __init__(self, master: RedisMaster) -> None:
        self._master = master

    @property
    def master(self) -> RedisMaster:
        """The connections, for data kept beside the registry. They are closed with it."""
        return self._master

    @property
    def up(self) -> bool:
        """True while a master is connected. Checked every second, also without calls."""
        return self._master.up

    @property
    def generation(self) -> int:
        """Rises with each connection to a master after a failure or a failover.

        Entries written before may be lost: register them again.
        """
        return self._master.generation

    @property
    def certain_s(self) -> float:
        """When the Sentinels were last asked and named the master that was written to."""
        return self._master.certain_s

    @property
    def on_change(self) -> Callable[[], None] | None:
        """The callback that runs in the event loop when the master was lost or found. Settable."""
        return self._master.on_change

    @on_change.setter
    def on_change(self, callback: Callable[[], None] | None) -> None:
        self._master.on_change = callback

    async def lease(self, node: str, incarnation: int, ttl_s: float, address: str) -> None:
        """Take or renew the lease. Raises Unavailable also when a later incarnation of the node holds it."""
        packed = packed_lease(incarnation, address)
        if not await self._run(LEASE, [f"lease:{node}", "nodes"], [packed, round(ttl_s * 1000), node]):
            raise Unavailable(f"redis: a later incarnation holds the lease of {node}")

    async def release(self, node: str, incarnation: int) -> None:
        """End the lease if this incarnation still holds it."""
        await self._run(RELEASE, [f"lease:{node}", "nodes"], [packed_lease(incarnation, ""), node])

    async def gateways(self) -> dict[str, tuple[int, str]]:
        """Return the live leases: node -> (incarnation, address)."""
        answer = await self._run(_GATEWAYS, ["nodes"], [])
        return {node.decode(): unpack_lease(lease) for node, lease in zip(answer[::2], answer[1::2], strict=True)}

    async def register(self, routes: Sequence[tuple[int, Route]]) -> list[Route | None]:
        """Store routes. Returns the earlier entry of each: None, the replaced one, or one with a higher epoch, which
        stays.

        The replaced entry may be the very same route.
        """
        before: list[Route | None] = []
        for part in parts(routes):
            keys, arguments = _entries(part)
            answer = await self._run(_REGISTER, keys, [ROUTE_TTL_S, *arguments])
            before += before_each([route for _, route in part], answer)[0]
        return before

    async def replaced(self, node: str, incarnation: int) -> list[int]:
        """Return the connections of this incarnation that were replaced by one at another gateway. Each is returned
        once.
        """
        answer = await self._run(REPLACED, [f"replaced:{node}"], [MAX_BATCH])
        return replaced_of(answer, incarnation)

    async def unregister(self, routes: Sequence[tuple[int, Route]]) -> None:
        """Remove an entry only if it is exactly this one."""
        for part in parts(routes):
            keys, arguments = _entries(part)
            await self._run(UNREGISTER, keys, arguments)

    async def routes(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        """Return the users' routes whose lease is live; a user without one is left out."""
        return await self._routes(users, leased=True)

    async def lapsed(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        """Return the users' routes whose lease has ended; a user without one is left out."""
        return await self._routes(users, leased=False)

    async def _routes(self, users: Sequence[int], *, leased: bool) -> Mapping[int, tuple[Route, ...]]:
        found: dict[int, tuple[Route, ...]] = {}
        for part in parts(users):
            places = [place("routes", user) for user in part]
            fields = [field for _, field in places]
            answer = await self._run(_ROUTES, [key for key, _ in places], [int(leased), *fields])
            found |= {user: tuple(unpack_routes(packed)) for user, packed in zip(part, answer, strict=True) if packed}
        return found

    async def close(self) -> None:
        """Release the connections to Redis."""
        await self._master.close()

    async def _run(self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]) -> Any:
        return await self._master.call(lambda client: script.run(client, keys, arguments))


LEASE: Final = Script("lease.lua")
RELEASE: Final = Script("release.lua")
_GATEWAYS: Final = Script("gateways.lua")
_REGISTER: Final = Script("entries.lua", "register_alone.lua", "register.lua")
REPLACED: Final = Script("replaced.lua")
UNREGISTER: Final = Script("entries.lua", "unregister.lua")
_ROUTES: Final = Script("entries.lua", "routes.lua")


_BEFORE: Final[dict[str, Callable[[Route, Iterator[bytes]], Route | None]]] = {
    "n": lambda _route, _others: None,
    "s": lambda route, _others: route,
    "o": lambda _route, others: next(unpack_routes(next(others))),
}
"""What the letters of register.lua stand for."""


def before_each(routes: Sequence[Route], answer: Sequence[bytes]) -> tuple[list[Route | None], Sequence[bytes]]:
    """Return what register.lua says was there before each of these, and the keys that end its answer."""
    letters = answer[0].decode("ascii")
    others = iter(answer[1:])
    return [_BEFORE[letter](route, others) for route, letter in zip(routes, letters, strict=True)], list(others)


def replaced_of(answer: Sequence[bytes], incarnation: int) -> list[int]:
    """Return the connections of this incarnation of what replaced.lua answers."""
    found = [_REPLACED_CONN.unpack(one) for one in answer]
    return [conn for of_incarnation, conn in found if of_incarnation == incarnation]


def packed_replaced(route: Route) -> bytes:
    """Return an entry of a list of replaced connections."""
    return _REPLACED_CONN.pack(route.incarnation, route.conn)


def packed_lease(incarnation: int, address: str) -> bytes:
    """Return the value of a lease."""
    return _INCARNATION.pack(incarnation) + address.encode()


def unpack_lease(lease: bytes) -> tuple[int, str]:
    """Return the incarnation and the address of a lease."""
    return _INCARNATION.unpack_from(lease)[0], lease[_INCARNATION.size :].decode()


def packed_route(route: Route) -> bytes:
    """Return a route as entries.lua describes it."""
    node = route.node.encode()
    return _ROUTE.pack(route.device, route.epoch, route.incarnation, route.conn, len(node)) + node


def _entries(routes: Sequence[tuple[int, Route]]) -> tuple[list[str], list[bytes | str | int]]:
    """Return the keys, and for each key the field and the packed route."""
    keys: list[str] = []
    arguments: list[bytes | str | int] = []
    for user, route in routes:
        key, field = place("routes", user)
        keys.append(key)
        arguments += (field, packed_route(route))
    return keys, arguments


def unpack_routes(packed: bytes) -> Iterator[Route]:
    """Yield the routes of one user's value."""
    at = 0
    while at < len(packed):
        device, epoch, incarnation, conn, length = _ROUTE.unpack_from(packed, at)
        at += _ROUTE.size + length
        yield Route(device, packed[at - length : at].decode(), incarnation, conn, epoch)
