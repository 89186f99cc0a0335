"""What every registry must do, whatever stands behind it."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from sut.ports import Registry, Route, Unavailable

MakeRegistry = Callable[[], AbstractAsyncContextManager[Registry]]
FIRST, SECOND = 1_700_000_000_000_001, 1_700_000_000_000_002
"""Incarnations."""


def route(
    *, device: int = 1, node: str = "gateway-1", incarnation: int = FIRST, conn: int = 1, epoch: int = 10
) -> Route:
    return Route(device, node, incarnation, conn, epoch)


async def test_a_route_counts_while_its_lease_lives(make_registry: MakeRegistry) -> None:
    async with make_registry() as registry:
        assert await registry.register([(7, route())]) == [None]
        assert await registry.routes([7]) == {}
        await registry.lease("gateway-1", FIRST, 5.0, "ws://one")
        assert await registry.routes([7]) == {7: (route(),)}
        await registry.release("gateway-1", FIRST)
        assert await registry.routes([7]) == {}


async def test_a_lease_ends_by_itself_and_can_be_renewed(make_registry: MakeRegistry) -> None:
    async with make_registry() as registry:
        await registry.lease("gateway-1", FIRST, 0.15, "ws://one")
        await registry.register([(7, route())])
        assert await registry.routes([7])
        assert await registry.lapsed([7]) == {}
        await asyncio.sleep(0.3)  # the lease's own time, in the server
        assert await registry.routes([7]) == {}
        assert await registry.lapsed([7, 8]) == {7: (route(),)}
        assert await registry.gateways() == {}
        await registry.lease("gateway-1", FIRST, 5.0, "ws://one")
        assert await registry.routes([7]) == {7: (route(),)}


async def test_a_new_incarnation_takes_the_lease_and_voids_the_old_routes(make_registry: MakeRegistry) -> None:
    async with make_registry() as registry:
        await registry.lease("gateway-1", FIRST, 5.0, "ws://old")
        await registry.register([(7, route())])
        await registry.lease("gateway-1", SECOND, 5.0, "ws://new")
        assert await registry.gateways() == {"gateway-1": (SECOND, "ws://new")}
        assert await registry.routes([7]) == {}
        with pytest.raises(Unavailable, match="later incarnation"):
            await registry.lease("gateway-1", FIRST, 5.0, "ws://old")
        await registry.release("gateway-1", FIRST)
        assert await registry.gateways() == {"gateway-1": (SECOND, "ws://new")}


async def test_gateways_are_those_with_a_lease(make_registry: MakeRegistry) -> None:
    async with make_registry() as registry:
        for number in (1, 2, 3):
            await registry.lease(f"gateway-{number}", FIRST, 5.0, f"ws://127.0.0.1:900{number}/v1/ws")
        await registry.release("gateway-2", FIRST)
        assert await registry.gateways() == {
            "gateway-1": (FIRST, "ws://127.0.0.1:9001/v1/ws"),
            "gateway-3": (FIRST, "ws://127.0.0.1:9003/v1/ws"),
        }


async def test_register_says_what_was_there(make_registry: MakeRegistry) -> None:
    async with make_registry() as registry:
        await registry.lease("gateway-1", FIRST, 5.0, "a")
        await registry.lease("gateway-2", FIRST, 5.0, "b")
        old, new = route(epoch=10), route(node="gateway-2", conn=9, epoch=11)
        assert await registry.register([(7, old)]) == [None]
        assert await registry.register([(7, old)]) == [old]  # a refresh
        assert await registry.register([(7, new)]) == [old]
        assert await registry.routes([7]) == {7: (new,)}


async def test_one_call_says_of_each_what_was_there(make_registry: MakeRegistry) -> None:
    async with make_registry() as registry:
        same, old, new = route(conn=1), route(conn=2, epoch=10), route(conn=3, epoch=11)
        assert await registry.register([(1, same), (3, old), (5, old)]) == [None] * 3
        found = await registry.register([(1, same), (2, same), (3, new), (4, new), (5, old), (1, new)])
        assert found == [same, None, old, None, old, same]


async def test_an_entry_with_a_newer_epoch_stays(make_registry: MakeRegistry) -> None:
    async with make_registry() as registry:
        await registry.lease("gateway-1", FIRST, 5.0, "a")
        newer, older = route(conn=2, epoch=11), route(conn=1, epoch=10)
        await registry.register([(7, newer)])
        assert await registry.register([(7, older)]) == [newer]
        assert await registry.routes([7]) == {7: (newer,)}


async def test_epochs_are_compared_in_all_their_bits(make_registry: MakeRegistry) -> None:
    """Numbers above 2^53 are not all different in Lua."""
    async with make_registry() as registry:
        await registry.lease("gateway-1", FIRST, 5.0, "a")
        for low, high in (((1 << 62), (1 << 62) + 1), (255, 256), ((1 << 32) - 1, 1 << 32)):
            user = high
            first, second = route(conn=1, epoch=high), route(conn=2, epoch=low)
            await registry.register([(user, first)])
            assert await registry.register([(user, second)]) == [first]
            assert await registry.routes([user]) == {user: (first,)}
            await registry.register([(user, route(conn=3, epoch=high + 1))])
            assert (await registry.routes([user]))[user][0].conn == 3


@pytest.mark.parametrize(
    "stale",
    [
        route(conn=1, epoch=10),
        route(conn=2, epoch=10),
        route(conn=1, epoch=11),
        route(conn=2, epoch=11, incarnation=SECOND),
        route(conn=2, epoch=11, node="gateway-2"),
    ],
    ids=["older connection", "other epoch", "other connection", "other incarnation", "other node"],
)
async def test_a_stale_connection_deletes_nothing(make_registry: MakeRegistry, stale: Route) -> None:
    async with make_registry() as registry:
        await registry.lease("gateway-1", FIRST, 5.0, "a")
        current = route(conn=2, epoch=11)
        await registry.register([(7, current)])
        await registry.unregister([(7, stale)])
        assert await registry.routes([7]) == {7: (current,)}
        await registry.unregister([(7, current)])
        assert await registry.routes([7]) == {}


async def test_a_user_has_a_route_for_each_device(make_registry: MakeRegistry) -> None:
    async with make_registry() as registry:
        await registry.lease("gateway-1", FIRST, 5.0, "a")
        both = {route(device=1, conn=1), route(device=2, conn=2)}
        await registry.register([(7, one) for one in both])
        assert set((await registry.routes([7]))[7]) == both
        await registry.unregister([(7, route(device=1, conn=1))])
        assert await registry.routes([7]) == {7: (route(device=2, conn=2),)}


async def test_large_batches_keep_their_order(make_registry: MakeRegistry) -> None:
    async with make_registry() as registry:
        await registry.lease("gateway-1", FIRST, 5.0, "a")
        routes = [(user, route(device=user, conn=user)) for user in range(1, 1201)]
        await registry.register(routes)
        assert await registry.register(routes) == [one for _, one in routes]
        users = [user for user, _ in routes]
        assert await registry.routes(users) == {user: (one,) for user, one in routes}
        await registry.unregister(routes[::2])
        assert await registry.routes(users) == {user: (one,) for user, one in routes[1::2]}
        assert await registry.routes([]) == {}
        assert await registry.register([]) == []


async def test_two_processes_see_the_same(make_registry: MakeRegistry) -> None:
    async with make_registry() as gateway, make_registry() as sequencer:
        await gateway.lease("gateway-1", FIRST, 5.0, "a")
        await gateway.register([(7, route())])
        assert await sequencer.routes([7]) == {7: (route(),)}


async def test_closed_means_unavailable(make_registry: MakeRegistry) -> None:
    async with make_registry() as registry:
        await registry.gateways()
        await registry.close()
        with pytest.raises(Unavailable):
            await registry.gateways()


async def test_a_node_hears_once_which_of_its_connections_were_replaced_elsewhere(make_registry: MakeRegistry) -> None:
    async with make_registry() as registry:
        await registry.register([(7, route(conn=1, epoch=10)), (8, route(conn=2, epoch=10))])
        await registry.register([(7, route(conn=3, epoch=11))])  # at the same node: it knows
        assert await registry.replaced("gateway-1", FIRST) == []
        await registry.register([(7, route(node="gateway-2", conn=1, epoch=12))])
        await registry.register([(8, route(node="gateway-2", conn=2, epoch=9))])  # older: the other one stays
        assert await registry.replaced("gateway-2", FIRST) == []
        assert await registry.replaced("gateway-1", FIRST) == [3]
        assert await registry.replaced("gateway-1", FIRST) == []
        await registry.register([(7, route(node="gateway-1", incarnation=SECOND, conn=1, epoch=13))])
        assert await registry.replaced("gateway-2", SECOND) == []  # of a process that is gone
