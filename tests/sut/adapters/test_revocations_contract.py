"""What every list of revoked devices must do, whatever stands behind it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from sut.adapters.redis.revocations import PAGE, RedisRevocations
from sut.ports import Revocation, Revocations, Unavailable
from tests.sut.adapters.conftest import opened_registry
from tests.sut.adapters.redis_system import RedisSystem

MakeRevocations = Callable[[], AbstractAsyncContextManager[Revocations]]
NOW = 1_800_000_000


def revocation(user: int = 1, device: int = 11, at_s: int = NOW, until_s: int = NOW + 3600) -> Revocation:
    return Revocation(user, device, at_s, until_s)


async def test_what_was_put_in_is_read_once_by_each_reader(make_revocations: MakeRevocations) -> None:
    async with make_revocations() as writer, make_revocations() as reader:
        assert (await reader.since(0)).revocations == ()
        one, other, big = revocation(1, 11), revocation(2, 11), revocation((1 << 63) - 1, (1 << 63) - 1)
        await writer.revoke([one, other], now_s=NOW)
        page = await reader.since(0)
        assert page.revocations == (one, other)
        assert not page.more
        assert (await reader.since(page.position)).revocations == ()
        await writer.revoke([big], now_s=NOW)
        assert (await reader.since(page.position)).revocations == (big,)
        assert set((await reader.since(0)).revocations) == {one, other, big}


async def test_of_two_the_later_holds_and_a_repetition_is_no_news(make_revocations: MakeRevocations) -> None:
    async with make_revocations() as backend:
        await backend.revoke([revocation(at_s=NOW)], now_s=NOW)
        position = (await backend.since(0)).position
        await backend.revoke([revocation(at_s=NOW), revocation(at_s=NOW - 5)], now_s=NOW)
        assert (await backend.since(position)).revocations == ()
        later = revocation(at_s=NOW + 5, until_s=NOW + 3605)
        await backend.revoke([later], now_s=NOW + 5)
        assert (await backend.since(position)).revocations == (later,)
        assert (await backend.since(0)).revocations == (later,)


async def test_many_come_in_pages(make_revocations: MakeRevocations) -> None:
    async with make_revocations() as backend:
        many = [revocation(user) for user in range(1, PAGE + 8)]
        for start in range(0, len(many), 500):
            await backend.revoke(many[start : start + 500], now_s=NOW)
        first = await backend.since(0)
        assert (len(first.revocations), first.more) == (PAGE, True)
        rest = await backend.since(first.position)
        assert (len(rest.revocations), rest.more) == (7, False)
        assert [*first.revocations, *rest.revocations] == many


async def test_what_has_expired_goes_when_more_comes(make_revocations: MakeRevocations) -> None:
    async with make_revocations() as backend:
        await backend.revoke([revocation(1, until_s=NOW + 10)], now_s=NOW)
        await backend.revoke([revocation(2, until_s=NOW + 100)], now_s=NOW + 11)
        assert (await backend.since(0)).revocations == (revocation(2, until_s=NOW + 100),)


async def test_a_position_from_a_lost_list_counts_as_none(make_revocations: MakeRevocations) -> None:
    async with make_revocations() as backend:
        await backend.revoke([revocation(1)], now_s=NOW)
        page = await backend.since(1_000_000)
        assert (page.position, page.revocations) == (1, (revocation(1),))


async def test_a_full_list_refuses_what_is_new_and_keeps_what_it_has(redis_system: RedisSystem) -> None:
    redis_system.forget_all()
    async with opened_registry(redis_system, deadline_s=2.0) as registry:
        backend = RedisRevocations(registry.master, most=2)
        await backend.revoke([revocation(1), revocation(2)], now_s=NOW)
        with pytest.raises(Unavailable, match="2 devices are revoked already; 1 did not fit"):
            await backend.revoke([revocation(3), revocation(2, at_s=NOW + 1)], now_s=NOW)
        assert {r.user for r in (await backend.since(0)).revocations} == {1, 2}
        await backend.revoke([revocation(3, at_s=NOW + 3601)], now_s=NOW + 3601)  # the others have expired
        assert {r.user for r in (await backend.since(0)).revocations} == {3}


async def test_a_full_list_takes_what_must_always_go_in(redis_system: RedisSystem) -> None:
    redis_system.forget_all()
    async with opened_registry(redis_system) as registry:
        backend = RedisRevocations(registry.master, most=1)
        await backend.revoke([revocation(device=1)], now_s=NOW)
        with pytest.raises(Unavailable):
            await backend.revoke([revocation(device=2)], now_s=NOW)
        await backend.revoke([revocation(device=3)], now_s=NOW, always=True)
        assert [one.device for one in (await backend.since(0)).revocations] == [1, 3]


async def test_a_foreign_entry_is_passed_over_and_goes_when_more_comes(redis_system: RedisSystem) -> None:
    redis_system.forget_all()
    async with opened_registry(redis_system, deadline_s=2.0) as registry:
        backend = RedisRevocations(registry.master)
        await backend.revoke([revocation(1)], now_s=NOW)
        master = redis_system.master()
        assert master is not None
        far = "~" * 16
        for score, member, data in ((0.6, "2:11", "short"), (0.7, "3:11", ""), (0.8, "-", far)):
            redis_system.ask(master, "ZADD", "revoked:order", str(score), member)
            redis_system.ask(master, "HSET", "revoked:data", member, data)
        assert (await backend.since(0)).revocations == (revocation(1),)
        await backend.revoke([revocation(2)], now_s=NOW)
        assert (await backend.since(0)).revocations == (revocation(1), revocation(2))
        assert redis_system.ask(master, "ZCARD", "revoked:order") == 3, "what looks like one stays, and is passed over"
