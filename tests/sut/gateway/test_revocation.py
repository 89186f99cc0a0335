"""A device whose tokens were taken back: closed with 4410, refused at the upgrade, until it has a newer token."""

import asyncio
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sut.ports import Revocation, Unavailable
from sut.process.revoked import CLOCKS_S, LOOK_S, Revoked
from sut.protocol.frames import Beat, Close, Heartbeat
from tests.sut.gateway.world import MemoryRevocations, World, in_world

NOW = 1_800_000_000


def revocation(user: int = 1, device: int = 11, at_s: int = NOW, keep_s: int = 3600) -> Revocation:
    return Revocation(user, device, at_s, at_s + keep_s)


async def refused_with(world: World, token: str) -> bytes:
    """What the gateway answers to this token."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(f"{world.url}?token={token}")
    assert caught.value.response.status_code == 401
    return caught.value.response.body


def test_a_revoked_device_is_closed_and_refused_and_others_are_not(tmp_path):
    async def scenario(world: World) -> None:
        stolen = world.token(1, 11)
        async with world.device(1, 11) as thief, world.device(1, 12) as other, world.device(2, 11) as namesake:
            now_s = int(time.time())
            await world.revocations.revoke([revocation(at_s=now_s)], now_s=now_s)
            began_s = time.monotonic()
            assert await thief.closed() == (Close.REVOKED, [])
            assert time.monotonic() - began_s < LOOK_S + 1
            assert await refused_with(world, stolen) == b"token was revoked\n"
            assert await other.ask(Heartbeat()) == Beat(0)
            assert await namesake.ask(Heartbeat()) == Beat(0)
            assert (await world.stats())["revoked"] == 1
            await asyncio.sleep(1.1 - time.time() % 1)  # tokens count in whole seconds
            async with world.device(1, 11) as again:  # by a token that was issued later
                assert await again.ask(Heartbeat()) == Beat(0)
                await asyncio.sleep(LOOK_S + 0.2)
                assert await again.ask(Heartbeat()) == Beat(0)

    in_world(scenario, tmp_path)


def test_a_revocation_that_is_heard_of_late_spares_a_newer_token(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as again, world.device(1, 12) as gone:
            now_s = int(time.time())
            await world.revocations.revoke([revocation(1, 11, now_s - 5), revocation(1, 12, now_s)], now_s=now_s)
            assert await gone.closed() == (Close.REVOKED, [])
            assert await again.ask(Heartbeat()) == Beat(0)

    in_world(scenario, tmp_path)


def test_a_revocation_that_came_before_the_gateway_started_counts(tmp_path):
    async def scenario(world: World) -> None:
        await world.wait_until_stat("revoked", lambda n: n == 1)
        assert await refused_with(world, world.token(1, 11)) == b"token was revoked\n"

    in_world(scenario, tmp_path, revoked=[revocation(at_s=int(time.time()) + 5)])


def test_while_the_list_is_away_the_last_known_holds(tmp_path):
    async def scenario(world: World) -> None:
        now_s = int(time.time())
        await world.revocations.revoke([revocation(at_s=now_s)], now_s=now_s)
        await world.wait_until_stat("revoked", lambda n: n == 1)
        world.revocations.away = True
        await asyncio.sleep(LOOK_S + 0.2)
        assert await refused_with(world, world.token(1, 11, now_s=now_s)) == b"token was revoked\n"
        async with world.device(1, 12) as other:
            assert await other.ask(Heartbeat()) == Beat(0)

    in_world(scenario, tmp_path)


def test_a_token_is_void_up_to_the_second_of_the_revocation() -> None:
    async def scenario() -> None:
        revoked = Revoked(MemoryRevocations(), keep_s=60, clock=lambda: NOW + 0.9)
        at_s = NOW + CLOCKS_S
        assert await revoked.revoke(1, 11) == Revocation(1, 11, at_s, at_s + 60)
        assert revoked.is_void(1, 11, at_s)
        assert not revoked.is_void(1, 11, at_s + 1)
        assert not revoked.is_void(1, 12, at_s)
        assert not revoked.is_void(2, 11, at_s)

    asyncio.run(scenario())


def test_a_token_is_void_whichever_machine_issued_it_and_a_login_after_it_is_not() -> None:
    """The issuer's clock is 50 s ahead of the revoker's; each login and revocation is at another machine."""

    async def scenario() -> None:
        backend = MemoryRevocations()
        ahead = Revoked(backend, keep_s=60, clock=lambda: NOW + 50)
        behind = Revoked(backend, keep_s=60, clock=lambda: NOW)
        for _ in range(3):
            login_s = ahead.login_s(1, 11, NOW + 50)
            assert not behind.is_void(1, 11, login_s)
            await behind.revoke(1, 11)
            await ahead.look()
            assert ahead.is_void(1, 11, login_s) and behind.is_void(1, 11, login_s)
            again_s = behind.login_s(1, 11, NOW)
            assert not ahead.is_void(1, 11, again_s)
            await ahead.revoke(1, 11)
            await behind.look()
            assert behind.is_void(1, 11, again_s)

    asyncio.run(scenario())


def test_what_the_server_lost_is_put_back_by_who_knows_it() -> None:
    async def scenario() -> None:
        backend = MemoryRevocations()
        one, other = Revoked(backend, keep_s=60, clock=lambda: NOW), Revoked(backend, keep_s=60, clock=lambda: NOW)
        await one.revoke(1, 11)
        assert [r.device for r in await other.look()] == [11]
        await one.look()
        backend.lose()
        await backend.revoke([revocation(2, 22)], now_s=NOW)  # numbers begin again
        assert [r.device for r in await other.look()] == [22]
        assert [r.device for r in backend.entries] == [22, 11]
        assert [r.device for r in await one.look()] == [22]
        assert len(backend.entries) == 2

    asyncio.run(scenario())


def test_what_has_expired_is_forgotten_and_not_put_back() -> None:
    async def scenario() -> None:
        now = NOW
        backend = MemoryRevocations()
        revoked = Revoked(backend, keep_s=60, clock=lambda: now)
        await revoked.revoke(1, 11)
        await revoked.look()
        backend.lose()
        now += CLOCKS_S + 61
        await revoked.look()
        assert (len(revoked), backend.entries) == (0, [])

    asyncio.run(scenario())


def test_an_unreachable_list_refuses_a_revocation() -> None:
    async def scenario() -> None:
        backend = MemoryRevocations()
        backend.away = True
        revoked = Revoked(backend, keep_s=60)
        with pytest.raises(Unavailable, match="away"):
            await revoked.revoke(1, 11)
        assert len(revoked) == 0

    asyncio.run(scenario())
