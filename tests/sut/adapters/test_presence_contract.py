"""What every presence store must do, whatever stands behind it."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from sut.ports import Presence, Unavailable
from tests.kit.pace import scaled
from tests.kit.waits import until
from tests.sut.adapters.conftest import opened_presence
from tests.sut.adapters.redis_system import RedisSystem

MakePresence = Callable[[float], AbstractAsyncContextManager[Presence]]
FIRST, SECOND = 1_700_000_000_000_001, 1_700_000_000_000_002
"""Incarnations."""
LONG_S = 30.0


async def online(presence: Presence, *users: int) -> list[int]:
    """Which of these are."""
    return [user for user, (there, _) in (await presence.look(users)).items() if there]


async def test_who_is_here_is_online_until_gone(make_presence: MakePresence) -> None:
    async with make_presence(LONG_S) as presence:
        assert await presence.look([1, 2]) == {1: (False, 0), 2: (False, 0)}
        await presence.here("gateway-1", FIRST, [1, 2])
        assert await online(presence, 1, 2, 3) == [1, 2]
        before_ms = time.time() * 1000
        await presence.gone("gateway-1", FIRST, [1])
        seen = await presence.look([1, 2])
        assert not seen[1][0]
        assert before_ms - 2 <= seen[1][1] <= time.time() * 1000 + 2, "last seen when it went"
        assert seen[2][0]


async def test_a_word_lapses_and_is_renewed(make_presence: MakePresence) -> None:
    async with make_presence(0.3) as presence:
        await presence.here("gateway-1", FIRST, [1, 2])
        since_ms = time.time() * 1000
        for _ in range(3):
            await asyncio.sleep(0.2)  # the store's own time
            await presence.here("gateway-1", FIRST, [2])
        assert await online(presence, 1, 2) == [2]
        last_seen_ms = (await presence.look([1]))[1][1]
        assert abs(last_seen_ms - since_ms) < 150, "a gateway that died leaves when it last had the user"


async def test_gateways_do_not_speak_for_each_other(make_presence: MakePresence) -> None:
    async with make_presence(LONG_S) as one, make_presence(LONG_S) as other:
        await one.here("gateway-1", FIRST, [1])
        await other.here("gateway-2", FIRST, [1])
        await one.gone("gateway-1", FIRST, [1])
        assert await online(one, 1) == [1]
        await other.gone("gateway-2", FIRST, [1])
        assert await online(one, 1) == []


async def test_nor_do_incarnations_of_one(make_presence: MakePresence) -> None:
    async with make_presence(LONG_S) as presence:
        await presence.here("gateway-1", FIRST, [1])
        await presence.here("gateway-1", SECOND, [1])
        await presence.gone("gateway-1", FIRST, [1])
        assert await online(presence, 1) == [1]
        await presence.gone("gateway-1", FIRST, [1])
        assert await online(presence, 1) == [1]
        await presence.gone("gateway-1", SECOND, [1])
        assert await online(presence, 1) == []


async def test_the_end_of_somebody_never_here_is_no_word(make_presence: MakePresence) -> None:
    async with make_presence(LONG_S) as presence:
        await presence.gone("gateway-1", FIRST, [1])
        assert await presence.look([1]) == {1: (False, 0)}


async def test_many_at_once_keep_apart(make_presence: MakePresence) -> None:
    async with make_presence(LONG_S) as presence:
        users = list(range(1, 2_601))
        await presence.here("gateway-1", FIRST, users)
        await presence.gone("gateway-1", FIRST, users[::3])
        expected = {user: (user - 1) % 3 != 0 for user in users}
        assert {user: there for user, (there, _) in (await presence.look(users)).items()} == expected
        assert await presence.look([]) == {}
        await presence.here("gateway-1", FIRST, [])


async def test_closed_means_unavailable(make_presence: MakePresence) -> None:
    async with make_presence(LONG_S) as presence:
        await presence.look([1])
        await presence.close()
        with pytest.raises(Unavailable):
            await presence.look([1])


async def test_a_failover_shows_in_the_generation(breakable_redis: RedisSystem) -> None:
    """So that a gateway knows to say all again."""
    async with opened_presence(breakable_redis, ttl_s=LONG_S) as presence:
        await presence.here("gateway-1", FIRST, [1])
        before = presence.generation
        master = breakable_redis.master()
        assert master is not None
        breakable_redis.signal(master, 9)
        with pytest.raises(Unavailable):
            await presence.look([1])
        await until(lambda: breakable_redis.master() is not None)
        async with asyncio.timeout(scaled(10)):
            while True:
                try:
                    await presence.here("gateway-1", FIRST, [1])
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
        assert presence.generation > before
        assert await online(presence, 1) == [1]
