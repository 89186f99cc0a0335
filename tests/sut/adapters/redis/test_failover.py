"""The registry while Redis dies, stops, moves or cannot be reached: deadlines are kept, and it comes back by itself."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator

import pytest

from sut.adapters.redis.master import WATCH_S
from sut.adapters.redis.registry import RedisRegistry
from sut.adapters.redis.sentinel import MasterFinder
from sut.ports import Route, Unavailable
from tests.kit.waits import until
from tests.sut.adapters.cluster import Way
from tests.sut.adapters.conftest import opened_registry
from tests.sut.adapters.redis_system import RedisSystem

DEADLINE_S = 0.3
LONGEST_S = 2 * DEADLINE_S + 0.1
"""A call may wait for the first try at a new connection, and then for its answer; 0.1 s for a busy machine."""
ROUTE = Route(1, "gateway-1", 1_700_000_000_000_000, 1, 10)


class Caller:
    """Registers the same route again and again, and notes how each call went."""

    def __init__(self, registry: RedisRegistry) -> None:
        self._registry = registry
        self.took_s: list[float] = []
        self.failed = 0
        self.fine = 0

    async def run(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await self._registry.lease(ROUTE.node, ROUTE.incarnation, 30.0, "ws://one")
                await self._registry.register([(7, ROUTE)])
                self.fine += 1
            except Unavailable:
                self.failed += 1
            self.took_s.append(time.monotonic() - began)
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def calling(registry: RedisRegistry) -> AsyncIterator[Caller]:
    """A caller that is at work."""
    caller = Caller(registry)
    task = asyncio.create_task(caller.run())
    try:
        await until(lambda: caller.fine > 0)
        yield caller
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()  # it ended by itself: say why


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_a_lost_master_is_replaced(breakable_redis: RedisSystem, how: signal.Signals) -> None:
    system = breakable_redis
    old, new = system.nodes
    async with opened_registry(system, deadline_s=DEADLINE_S) as registry, calling(registry) as caller:
        generation, before = registry.generation, caller.fine
        system.signal(old, how)
        await until(lambda: caller.failed > 0)
        assert not registry.up
        await until(lambda: registry.up and caller.fine > before + 1)
        assert registry.generation > generation
        assert system.master() == new
        assert await registry.routes([7]) == {7: (ROUTE,)}
        assert max(caller.took_s) < 2 * LONGEST_S  # two calls are timed together

        generation, failed = registry.generation, caller.failed
        if how == signal.SIGSTOP:  # it wakes up and thinks that it is master, for ten seconds
            system.signal(old, signal.SIGCONT)
            await until(lambda: system.role(old) == "master")
        else:
            system.start(old, follow=new)
            await until(lambda: system.role(old) == "slave")
        await asyncio.sleep(1.5 * WATCH_S)  # time enough to fall for it
        assert (registry.generation, caller.failed) == (generation, failed)
        assert system.ask(new, "HEXISTS", "routes:0", "7") == 1


async def test_while_redis_is_away_calls_fail_at_once(breakable_redis: RedisSystem) -> None:
    system = breakable_redis
    for node in system.nodes:
        system.signal(node, signal.SIGSTOP)
    async with opened_registry(system, deadline_s=DEADLINE_S) as registry:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await registry.gateways()
        assert time.monotonic() - began < LONGEST_S
        await asyncio.sleep(2 * DEADLINE_S)  # the first try is over
        took_s = []
        for _ in range(50):
            began = time.monotonic()
            with pytest.raises(Unavailable, match="away"):
                await registry.gateways()
            took_s.append(time.monotonic() - began)
            await asyncio.sleep(0.01)
        assert max(took_s) < 0.1


@contextlib.asynccontextmanager
async def linked(system: RedisSystem) -> AsyncIterator[tuple[Way, RedisRegistry]]:
    """A registry, and the way by which it comes to the master."""
    master = system.master()
    assert master is not None
    async with (
        Way(master) as way,
        opened_registry(system, address_map={master: way.address}, deadline_s=DEADLINE_S) as registry,
    ):
        yield way, registry


async def test_a_link_that_swallows_everything(redis_system: RedisSystem) -> None:
    master = redis_system.master()
    async with linked(redis_system) as (link, registry), calling(registry) as caller:
        generation = registry.generation
        link.hold()
        await until(lambda: caller.failed > 20)  # mostly at once
        assert not registry.up
        assert max(caller.took_s) < LONGEST_S
        link.restore()
        began, before = time.monotonic(), caller.fine
        await until(lambda: caller.fine > before)
        assert time.monotonic() - began < 2.0
        assert registry.generation == generation + 1
        assert redis_system.master() == master


async def test_a_silent_link_is_noticed_without_calls(redis_system: RedisSystem) -> None:
    async with linked(redis_system) as (link, registry):
        changes: list[bool] = []
        await registry.gateways()
        registry.on_change = lambda: changes.append(registry.up)
        link.hold()
        await until(lambda: not registry.up, timeout_s=WATCH_S + 2.0)
        link.restore()
        await until(lambda: registry.up, timeout_s=2.0)
        await until(lambda: changes == [False, True])


async def test_a_closed_connection_to_the_same_master_costs_nothing(redis_system: RedisSystem) -> None:
    master = redis_system.master()
    assert master is not None
    async with opened_registry(redis_system) as registry:
        await registry.gateways()
        generation = registry.generation
        redis_system.ask(master, "CLIENT", "KILL", "TYPE", "normal")
        await asyncio.sleep(0.05)  # the reset arrives
        await registry.gateways()
        assert registry.generation == generation


async def test_a_master_that_was_restarted_empty_is_a_new_generation(breakable_redis: RedisSystem) -> None:
    system = breakable_redis
    master = system.nodes[0]
    async with opened_registry(system) as registry:
        await registry.lease(ROUTE.node, ROUTE.incarnation, 30.0, "ws://one")
        await registry.register([(7, ROUTE)])
        generation = registry.generation
        system.signal(master, signal.SIGKILL)
        system.start(master)  # sooner than Sentinel notices
        await until(lambda: system.role(master) == "master")
        await until(lambda: registry.up and registry.generation > generation)
        assert await registry.routes([7]) == {}


async def test_a_planned_failover(breakable_redis: RedisSystem) -> None:
    """The old master answers all the time, at last as a replica: neither its READONLY nor its stale reads count."""
    system = breakable_redis
    old, new = system.nodes
    async with opened_registry(system, deadline_s=DEADLINE_S) as registry, calling(registry) as caller:
        system.ask(system.sentinels[0], "SENTINEL", "FAILOVER", system.name)
        await until(lambda: system.role(new) == "master")
        system.ask(old, "REPLICAOF", new[0], str(new[1]))  # Sentinel does it too, after ten seconds
        await until(lambda: registry.up and registry.generation > 1)
        before = caller.fine
        await until(lambda: caller.fine > before + 1)
        assert max(caller.took_s) < 2 * LONGEST_S
        assert system.ask(new, "HEXISTS", "routes:0", "7") == 1

    # The others hear of the failover from the first Sentinel, within two seconds or so: it must not forget it before.
    await until(lambda: all(system.named(sentinel) == new for sentinel in system.sentinels))
    system.ask(system.sentinels[0], "SENTINEL", "REMOVE", system.name)
    system.ask(system.sentinels[0], "SENTINEL", "MONITOR", system.name, old[0], str(old[1]), "2")
    finder = MasterFinder(system.sentinels, system.name, deadline_s=2.0)  # the others are heard on a busy machine too
    for _ in range(20):  # one Sentinel tells an old story, for a second or two
        assert await finder.find() == new
    await finder.close()


async def test_a_master_that_became_a_replica_answers_nothing(breakable_redis: RedisSystem) -> None:
    """Its routes are somebody else's past, even where Sentinel has not noticed yet."""
    system = breakable_redis
    master, other = system.nodes
    async with opened_registry(system) as registry:
        await registry.gateways()
        for sentinel in system.sentinels:
            system.signal(sentinel, signal.SIGSTOP)
        system.ask(other, "REPLICAOF", "NO", "ONE")
        system.ask(master, "REPLICAOF", other[0], str(other[1]))
        system.ask(master, "CLIENT", "KILL", "TYPE", "normal")
        await asyncio.sleep(0.05)  # the reset arrives
        with pytest.raises(Unavailable):
            await registry.gateways()


async def test_the_first_call_waits_for_the_connection_and_no_longer(redis_system: RedisSystem) -> None:
    async with opened_registry(redis_system, deadline_s=10.0) as registry:
        began = time.monotonic()
        await asyncio.gather(*(registry.gateways() for _ in range(20)))
        assert time.monotonic() - began < 5.0
        assert registry.generation == 1


async def test_an_old_master_that_goes_on_answering_is_left(breakable_redis: RedisSystem) -> None:
    """As when it is cut off from the Sentinels, but not from us: no call ever fails."""
    system = breakable_redis
    old, new = system.nodes
    async with opened_registry(system) as registry:
        await registry.lease(ROUTE.node, ROUTE.incarnation, 30.0, "ws://one")
        for sentinel in system.sentinels:
            system.ask(sentinel, "SENTINEL", "REMOVE", system.name)
        system.ask(new, "REPLICAOF", "NO", "ONE")
        for sentinel in system.sentinels:
            system.ask(sentinel, "SENTINEL", "MONITOR", system.name, new[0], str(new[1]), "2")
        assert system.role(old) == "master"
        await until(lambda: registry.generation > 1, timeout_s=2 * WATCH_S + 1.0)
        await registry.register([(7, ROUTE)])
        assert system.ask(new, "HEXISTS", "routes:0", "7") == 1
        assert system.ask(old, "HEXISTS", "routes:0", "7") == 0


async def test_scripts_that_the_server_forgot_are_sent_again(redis_system: RedisSystem) -> None:
    master = redis_system.master()
    assert master is not None
    async with opened_registry(redis_system) as registry:
        await registry.register([(7, ROUTE)])
        generation = registry.generation
        redis_system.ask(master, "SCRIPT", "FLUSH")
        assert await registry.register([(7, ROUTE)]) == [ROUTE]
        assert registry.generation == generation


async def test_dead_sentinels_do_not_hide_the_master(breakable_redis: RedisSystem) -> None:
    system = breakable_redis
    system.signal(system.sentinels[0], signal.SIGKILL)
    system.signal(system.sentinels[1], signal.SIGSTOP)
    async with opened_registry(system, deadline_s=DEADLINE_S) as registry:
        await until(lambda: system.role(system.nodes[0]) == "master")
        with contextlib.suppress(Unavailable):  # one answer of three takes Sentinel's whole deadline
            await registry.gateways()
        await until(lambda: registry.up)
        assert await registry.gateways() == {}


async def test_answers_that_are_late_again_get_more_time_and_cost_no_second_session(redis_system: RedisSystem) -> None:
    """On a machine without time Redis takes 0.5 s. To lose the session for each of these would cost far more."""
    late_s = 1.5 * DEADLINE_S
    async with opened_registry(redis_system) as registry:
        await registry.lease(ROUTE.node, ROUTE.incarnation, 30.0, "ws://one")
        master = registry.master
        with pytest.raises(Unavailable, match="no answer"):
            await master.call(lambda _client: asyncio.sleep(3 * DEADLINE_S))
        await until(lambda: master.up)
        before = master.generation
        for _ in range(3):
            await master.call(lambda _client: asyncio.sleep(late_s))
        assert master.generation == before
