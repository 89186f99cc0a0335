"""A Redis Cluster while a master dies or stops and slots move: nothing is done twice, and nobody else waits."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from sut.adapters.redis.client import asking, slot_of
from sut.adapters.redis.cluster import moving
from sut.adapters.redis.cluster.registry import ClusterRegistry
from sut.adapters.redis.cluster.shards import TAGS, Call, Shards, by_slot, place
from sut.adapters.redis.script import BUCKET, MAX_BATCH
from sut.ports import Route, Unavailable
from tests.kit.pace import scaled
from tests.kit.waits import until
from tests.sut.adapters.cluster import Address, Way, opened
from tests.sut.adapters.shard_system import ShardSystem

DEADLINE_S = 0.3
NODE = "gateway-1"


def test_users_of_one_group_are_in_one_slot_and_every_user_is_in_one_group() -> None:
    users = [number * 37 for number in range(3000)] + [5] * (MAX_BATCH + 1)
    groups = by_slot(users)
    assert sorted(position for group in groups for position in group) == list(range(len(users)))
    for group in groups:
        assert len(group) <= MAX_BATCH
        assert len({slot_of(place("routes", users[position])[0]) for position in group}) == 1
    keys = {place(kind, user)[0] for kind in ("routes", "presence") for user in (7, 7 + BUCKET * TAGS)}
    assert len(keys) == 4
    assert len({slot_of(key) for key in keys}) == 1


@pytest.fixture
def breakable_shards(tmp_path: Path) -> Iterator[ShardSystem]:
    """A Redis Cluster for one test, which may break it."""
    with ShardSystem(tmp_path) as system:
        yield system


class Counting:
    """Adds 1 to a key again and again, from several tasks, and notes how each call went."""

    def __init__(self, shards: Shards, key: str) -> None:
        self._shards = shards
        self._key = key
        self.said: list[int] = []
        self.failed = 0
        self.took_s: list[float] = []

    async def run(self) -> None:
        while True:
            began_s = time.monotonic()
            try:
                self.said += await self._shards.run([Call(self._key, ("INCR", self._key))])
            except Unavailable:
                self.failed += 1
            self.took_s.append(time.monotonic() - began_s)
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def counting(shards: Shards, key: str, *, tasks: int = 5) -> AsyncIterator[Counting]:
    """Tasks that are at work, and have counted already."""
    found = Counting(shards, key)
    running = [asyncio.create_task(found.run()) for _ in range(tasks)]
    try:
        await until(lambda: len(found.said) > tasks)
        yield found
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        for task in running:
            if not task.cancelled():
                task.result()  # it ended by itself: say why


def keys_of_each_master(system: ShardSystem) -> dict[Address, str]:
    """A key in a slot of each master."""
    found = {system.master_of(f"n:{number}"): f"n:{number}" for number in range(100)}
    return {master: key for master, key in found.items() if master is not None}


async def moved(system: ShardSystem, key: str, target: Address, *, halfway_s: float) -> None:
    """Move the key's slot to this master, with a stop halfway."""
    slot, login = slot_of(key), system.login
    await asyncio.to_thread(moving.carry, slot, target, login)
    await asyncio.sleep(halfway_s)
    await asyncio.to_thread(moving.carry, slot, target, login)
    await asyncio.to_thread(moving.settle, slot, target, login)


async def test_a_slot_moves_under_traffic_and_no_call_fails_or_counts_twice(shard_system: ShardSystem) -> None:
    """Halfway each call is answered by ASK, afterwards by MOVED."""
    key = next(iter(keys_of_each_master(shard_system).values()))
    home = shard_system.master_of(key)
    assert home is not None
    target = next(node for node in keys_of_each_master(shard_system) if node != home)
    async with shard_system.client(deadline_s=scaled(2.0)) as shards, counting(shards, key) as calls:
        generation = shards.generation
        before = len(calls.said)
        move = asyncio.create_task(moved(shard_system, key, target, halfway_s=0.5))
        await asyncio.sleep(0.3)
        halfway = len(calls.said)
        await move
        assert shard_system.master_of(key) == target
        await until(lambda: len(calls.said) > halfway + 20)
        await asyncio.to_thread(moving.bring_home, slot_of(key), home, shard_system.login)
        after = len(calls.said)
        await until(lambda: len(calls.said) > after + 20)
        assert before < halfway
        assert shards.generation == generation, "its keys moved with the slot"
        assert calls.failed == 0
    assert sorted(calls.said) == list(range(1, len(calls.said) + 1))
    with shard_system.operator(home) as ask:
        ask("DEL", key)


async def test_a_move_that_stopped_halfway_is_taken_back(shard_system: ShardSystem) -> None:
    key = next(iter(keys_of_each_master(shard_system).values()))
    home = shard_system.master_of(key)
    assert home is not None
    target = next(node for node in keys_of_each_master(shard_system) if node != home)
    with shard_system.operator(home) as ask:
        ask("SET", key, "7")
    moving.carry(slot_of(key), target, shard_system.login)
    with shard_system.operator(target) as ask:
        assert ask("CLUSTER", "COUNTKEYSINSLOT", slot_of(key)) == 1
    for _ in range(2):  # harmless when it is at home
        moving.bring_home(slot_of(key), home, shard_system.login)
        with shard_system.operator(home) as ask:
            assert ask("GET", key) == "7"
        with shard_system.operator(target) as ask:
            assert ask("CLUSTER", "COUNTKEYSINSLOT", slot_of(key)) == 0
    with shard_system.operator(home) as ask:
        ask("DEL", key)


async def test_a_redirect_takes_the_link_and_not_the_address_that_the_server_names(shard_system: ShardSystem) -> None:
    keys = keys_of_each_master(shard_system)
    (home, key), (target, _) = list(keys.items())[:2]
    async with contextlib.AsyncExitStack() as stack:
        ways = {node: await stack.enter_async_context(Way(node)) for node in shard_system.nodes}
        over = {node: way.address for node, way in ways.items()}
        shards = await stack.enter_async_context(shard_system.client(deadline_s=scaled(2.0), address_map=over))
        calls = await stack.enter_async_context(counting(shards, key))
        await moved(shard_system, key, target, halfway_s=0.3)
        seen = len(calls.said)
        await until(lambda: len(calls.said) > seen + 20)
        ways[target].hold()
        failed = calls.failed
        await until(lambda: calls.failed > failed + 2, timeout_s=scaled(20.0))
        ways[target].restore()
        seen = len(calls.said)
        await until(lambda: len(calls.said) > seen + 20, timeout_s=scaled(20.0))
    moving.bring_home(slot_of(key), home, shard_system.login)
    with shard_system.operator(home) as ask:
        ask("DEL", key)


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_a_lost_master_is_replaced_and_the_others_go_on(breakable_shards: ShardSystem, how: str) -> None:
    system = breakable_shards
    keys = keys_of_each_master(system)
    (lost, key), (_, other) = list(keys.items())[:2]
    async with (
        system.client(deadline_s=DEADLINE_S) as shards,
        counting(shards, key, tasks=1) as calls,
        counting(shards, other, tasks=1) as fine,
    ):
        generation, before = shards.generation, len(fine.said)
        (system.kill if how == "killed" else system.pause)(system.number(lost))
        await until(lambda: calls.failed > 3)
        await until(lambda: len(fine.said) > before + 20)
        await until(lambda: shards.generation > generation, timeout_s=scaled(25.0))
        seen = len(calls.said)
        await until(lambda: len(calls.said) > seen + 5)
        assert system.master_of(key) not in (None, lost)
        assert fine.failed == 0
        assert max(calls.took_s) < scaled(2 * DEADLINE_S)
        assert Counter(calls.said).most_common(1)[0][1] <= 2, "a number is only repeated where the replica was behind"
    await asyncio.to_thread(system.heal)
    with system.operator(lost) as ask:
        assert ask("ROLE")[0] == "slave"


async def test_a_master_that_was_restarted_empty_is_a_new_generation(tmp_path: Path) -> None:
    with ShardSystem(tmp_path, restart_s=0.1) as system:  # sooner than the others notice
        key = place("routes", 7)[0]
        master = system.master_of(key)
        assert master is not None
        async with opened(ClusterRegistry, system.shards(deadline_s=scaled(DEADLINE_S))) as registry:
            route = Route(1, NODE, 1, 1, 10)
            await registry.lease(NODE, 1, 60.0, "ws://one")
            await registry.register([(7, route)])
            generation = registry.generation
            with contextlib.suppress(Unavailable), system.operator(master) as ask:
                ask("SHUTDOWN", "NOSAVE")
            await until(lambda: registry.generation > generation, timeout_s=scaled(20.0))
            await until(lambda: system.master_of(key) is not None)
            await answering(registry)
            assert await registry.routes([7]) == {}


async def answering(registry: ClusterRegistry) -> None:
    """Wait until the registry answers about user 7."""
    async with asyncio.timeout(scaled(20.0)):
        while True:
            with contextlib.suppress(Unavailable):
                await registry.routes([7])
                return
            await asyncio.sleep(0.05)


async def test_a_batch_over_all_masters_is_refused_as_a_whole_while_one_is_away(breakable_shards: ShardSystem) -> None:
    system = breakable_shards
    users = [number * BUCKET for number in range(64)]
    masters = {system.master_of(place("routes", user)[0]) for user in users}
    assert len(masters) == 3
    async with opened(ClusterRegistry, system.shards(deadline_s=DEADLINE_S)) as registry:
        assert await registry.routes(users) == {}
        lost = system.master_of(place("routes", users[0])[0])
        assert lost is not None
        system.pause(system.number(lost))
        with pytest.raises(Unavailable):
            await registry.routes(users)
        alone = [user for user in users if system.master_of(place("routes", user)[0]) != lost]
        assert await registry.routes(alone) == {}


async def test_routes_without_a_lease_go_when_half_of_their_time_is_over(shard_system: ShardSystem) -> None:
    shard_system.forget_all()
    async with opened(ClusterRegistry, shard_system.shards(deadline_s=scaled(2.0))) as registry:
        living, dead = Route(1, NODE, 1, 1, 10), Route(2, "gateway-2", 1, 1, 10)
        await registry.lease(NODE, 1, 60.0, "ws://one")
        await registry.register([(7, living), (7, dead), (8, dead)])
        key = place("routes", 7)[0]
        assert place("routes", 8)[0] == key
        master = shard_system.master_of(key)
        assert master is not None
        with shard_system.operator(master) as ask:
            ask("EXPIRE", key, 60)
        assert await registry.register([(7, living)]) == [living]
        assert await registry.lapsed([7, 8]) == {}
        assert await registry.routes([7, 8]) == {7: (living,)}
        with shard_system.operator(master) as ask:
            assert ask("TTL", key) > 60


async def test_scripts_that_a_server_forgot_are_sent_again(shard_system: ShardSystem) -> None:
    shard_system.forget_all()
    async with opened(ClusterRegistry, shard_system.shards(deadline_s=scaled(2.0))) as registry:
        routes = [(user, Route(user, NODE, 1, user, 10)) for user in range(0, 64 * BUCKET, BUCKET)]
        await registry.register(routes)
        for node in keys_of_each_master(shard_system):
            with shard_system.operator(node) as ask:
                ask("SCRIPT", "FLUSH")
        assert await registry.register(routes) == [route for _, route in routes]


async def test_a_closed_connection_costs_nothing(shard_system: ShardSystem) -> None:
    keys = keys_of_each_master(shard_system)
    async with shard_system.client(deadline_s=scaled(2.0)) as shards:
        ask_all = partial(shards.run, [Call(key, ("GET", key)) for key in keys.values()])
        await ask_all()
        generation = shards.generation
        for node in keys:
            with shard_system.operator(node) as ask:
                ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(0.05)  # the reset arrives
        await ask_all()
        assert shards.generation == generation


@pytest.mark.parametrize(
    "command",
    [
        ("CLUSTER", "RESET"),
        ("CLUSTER", "SETSLOT", "1", "STABLE"),
        ("CLUSTER", "FAILOVER"),
        ("FLUSHALL",),
        ("KEYS", "*"),
    ],
    ids=" ".join,
)
def test_a_service_may_not_reshape_the_cluster(shard_system: ShardSystem, command: tuple[str, ...]) -> None:
    with (
        pytest.raises(Unavailable, match=r"(?i)no permission"),
        asking(shard_system.nodes[0], scaled(2.0), login=shard_system.service) as ask,
    ):
        ask(*command)
