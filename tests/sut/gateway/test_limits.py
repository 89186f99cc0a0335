"""What one address and one user may take of a gateway, at real sockets; the counts themselves."""

import asyncio
import contextlib

import pytest
from websockets.exceptions import InvalidStatus

from sut.deploy.topology import Settings
from sut.gateway.limits import TURNED_AWAY, Limits, address_of
from sut.gateway.registrar import Pace
from sut.ports import Route
from sut.protocol.frames import BEAT_RESYNC, Beat, Close, Error, Fetch, Heartbeat, Nack, Recv, Refused, Send, Welcome
from tests.kit.waits import until
from tests.sut.gateway.world import Device, World, in_world, upgrade


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
    ],
)
def test_whom_an_address_counts_as(host: str, counted: str) -> None:
    assert address_of(host) == counted


def test_an_address_is_refused_beyond_its_sockets_and_cut_far_beyond_them() -> None:
    limits = Limits(Settings(address_connections=3))
    assert [limits.came("a", 0) for _ in range(3)] == [0, 0, 0]
    assert [limits.came("a", 0) for _ in range(TURNED_AWAY + 1)] == [1] * TURNED_AWAY + [2]
    assert limits.came("b", 0) == 0
    for _ in range(TURNED_AWAY + 2):
        limits.gone("a")
    assert limits.came("a", 0) == 0
    for address in ("a", "a", "a", "b"):
        limits.gone(address)
    assert limits.gauges()["addresses"] == 0


def test_an_address_is_refused_beyond_its_handshakes_in_a_second() -> None:
    limits = Limits(Settings(address_handshakes_per_s=2))

    def come(second: int) -> int:
        verdict = limits.came("a", second)
        limits.gone("a")
        return verdict

    assert [come(5), come(5), come(5)] == [0, 0, 1]
    assert [come(6), come(6), come(6)] == [0, 0, 1]


def test_an_address_that_has_too_many_connections_gets_429_and_others_go_on(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as one, world.device(2, 22):
            with pytest.raises(InvalidStatus) as caught:
                await world.connect(3, 33)
            assert caught.value.response.status_code == 429
            assert caught.value.response.headers["Retry-After"] == "1"
            assert await one.ask(Heartbeat()) == Beat(0)
            assert (await world.stats())["refused_address"] == 1
        await world.wait_until_stat("sockets", lambda n: n == 0)
        async with world.device(3, 33) as later:
            assert await later.ask(Heartbeat()) == Beat(0)

    in_world(scenario, tmp_path, address_connections=2)


def test_a_flood_of_connections_from_one_address_is_cut(tmp_path):
    async def scenario(world: World) -> None:
        async def attempt() -> bytes:
            reader, writer = await asyncio.open_connection(*world.address("gateway-1", "ws"))
            try:
                writer.write(upgrade("a.b.c"))
                return await reader.read()
            except ConnectionError:
                return b""
            finally:
                writer.close()

        async with world.device(1, 11) as one:
            answers = await asyncio.gather(*(attempt() for _ in range(200)))
            refused = sum(answer.startswith(b"HTTP/1.1 429 ") for answer in answers)
            assert 0 < refused <= 2 * TURNED_AWAY
            assert answers.count(b"") >= 200 - 2 * (TURNED_AWAY + 5)  # the second may turn on the way
            assert await one.ask(Heartbeat()) == Beat(0)

    in_world(scenario, tmp_path, address_handshakes_per_s=5)


def test_a_user_has_a_limited_number_of_devices_and_each_may_come_back(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as one, world.device(1, 12):
            with pytest.raises(InvalidStatus) as caught:
                await world.connect(1, 13)
            assert caught.value.response.status_code == 429
            async with world.device(1, 11):  # the same device again: it replaces itself
                assert await one.closed() == (Close.REPLACED, [])
            async with world.device(2, 13) as other:
                assert await other.ask(Heartbeat()) == Beat(0)
            assert (await world.stats())["refused_user"] == 1

    in_world(scenario, tmp_path, user_connections=2)


def test_one_device_has_one_connection_here_even_without_a_registry(tmp_path):
    async def scenario(world: World) -> None:
        world.registry.away = True
        async with world.connect(1, 11) as first:
            assert isinstance(await Device(first).receive(), Welcome)
            async with world.connect(1, 11) as second:
                assert isinstance(await Device(second).receive(), Welcome)
                assert await Device(first).closed() == (Close.REPLACED, [])
                assert (await world.stats())["connections"] == 1
                assert await Device(second).ask(Heartbeat()) == Beat(0)

    in_world(scenario, tmp_path)


CALM = Pace(refresh_s=3600, retry_s=(0.01, 0.05))


def test_a_connection_that_was_replaced_elsewhere_is_closed_at_the_next_lease(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as one, world.device(1, 12) as other:
            mine = world.registry.entries[1, 11]
            newer = world.registry.entries[1, 11] = Route(11, "gateway-2", 1, 9, mine.epoch + 1)
            world.registry.elsewhere = [mine.conn, 999]
            assert await one.closed() == (Close.REPLACED, [])
            assert await other.ask(Heartbeat()) == Beat(0)
            assert world.registry.entries[1, 11] == newer

    in_world(scenario, tmp_path, pace=CALM, lease_ttl_s=0.6)


def test_a_connection_whose_replacement_is_gone_already_lives_on_and_is_told(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as one:
            mine = world.registry.entries.pop((1, 11))
            world.registry.elsewhere = [mine.conn]
            assert await one.receive() == Beat(BEAT_RESYNC)
            assert world.registry.entries[1, 11] == mine

    in_world(scenario, tmp_path, pace=CALM, lease_ttl_s=0.6)


def test_a_token_used_a_thousand_times_holds_one_connection(tmp_path):
    async def scenario(world: World) -> None:
        world.registry.away = True
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(100):
                _, writer = await world.raw(1, 11)
                stack.callback(writer.close)
            assert (await world.stats())["connections"] == 1

    in_world(scenario, tmp_path)


def test_frames_of_a_user_beyond_the_limit_are_refused_by_all_of_the_users_devices(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(1, 11) as one, world.device(1, 12) as two, world.device(2, 21) as other:
            for number in range(30):
                await one.send(Send(5, number + 1, b"x"))
                await two.send(Recv(5, number + 1))
            answers = [await two.ask(Fetch(number, 5, 0, 10)) for number in range(1, 3)]
            assert Error(1, Nack.OVERLOADED) in answers or Error(2, Nack.OVERLOADED) in answers
            refused = await one.receive()
            assert isinstance(refused, Refused)
            assert (refused.code, refused.definite) == (Nack.OVERLOADED, False)
            await other.send(Send(6, 1, b"mine"))
            await until(lambda: any(getattr(frame, "body", b"") == b"mine" for frame in world.forwarded))
            assert sum(getattr(frame, "user", 0) == 1 for frame in world.forwarded) <= 20
            assert (await world.stats())["frames_refused_user"] > 0

    in_world(scenario, tmp_path, user_frames_per_s=10)


def test_the_counts_of_those_who_are_gone_are_gone(tmp_path):
    async def scenario(world: World) -> None:
        for number in range(20):
            async with world.device(number + 1, number + 1):
                pass
        await world.wait_until_stat("sockets", lambda n: n == 0)
        stats = await world.stats()
        assert (stats["addresses"], stats["users"]) == (0, 0)

    in_world(scenario, tmp_path)
