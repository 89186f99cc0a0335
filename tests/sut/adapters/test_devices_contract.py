"""What every device directory must do, whatever stands behind it."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest

from sut.ports import Devices, PushAddress, RegisteredDevice, Unavailable
from tests.kit.waits import answered

MakeDevices = Callable[[], AbstractAsyncContextManager[Devices]]
TOP = (1 << 63) - 1


def device(number: int, *, user: int = 7, token: str | None = "a" * 64, apns: bool = True) -> RegisteredDevice:
    return RegisteredDevice(user, number, PushAddress("apns" if apns else "fcm", token) if token else None)


async def test_devices_come_back_by_their_users(make_devices: MakeDevices) -> None:
    first = [device(1), device(2, token=None), device(3, user=8, apns=False), device(TOP, user=TOP, token="c" * 64)]
    async with make_devices() as devices:
        assert await devices.devices_of([7, 8]) == {}
        assert await devices.register(first) == [True] * 4
        assert await devices.devices_of([7, 9, TOP]) == {7: (first[0], first[1]), TOP: (first[3],)}
        assert await devices.devices_of([]) == {}
        assert await devices.owner(3) == 8
        assert await devices.owner(4) is None
    async with make_devices() as devices:
        assert await devices.devices_of([8, 1 << 63]) == {8: (first[2],)}


async def test_many_at_once(make_devices: MakeDevices) -> None:
    wanted = [device(n, user=n // 2 + 1, token=f"{n:064x}") for n in range(1, 1001)]
    async with make_devices() as devices:
        assert all(await answered(partial(devices.register, wanted)))
        found = await answered(partial(devices.devices_of, range(1, 502)))
        assert [d for of_user in found.values() for d in of_user] == wanted


async def test_registering_again_sets_the_push_token_anew(make_devices: MakeDevices) -> None:
    async with make_devices() as devices:
        await devices.register([device(1)])
        for again in (device(1, token="b" * 64), device(1, apns=False), device(1, token=None), device(1)):
            assert await devices.register([again]) == [True]
            assert await devices.devices_of([7]) == {7: (again,)}


async def test_a_push_address_is_the_newest_users_alone(make_devices: MakeDevices) -> None:
    """Two people on one phone, one after the other: neither gets the other's pushes."""
    async with make_devices() as devices, make_devices() as other:
        await devices.register([device(1, user=7), device(2, user=7)])  # of one user: both may have it
        assert await other.register([device(3, user=8)]) == [True]
        nowhere = (device(1, token=None), device(2, token=None))
        assert await devices.devices_of([7, 8]) == {7: nowhere, 8: (device(3, user=8),)}
        await devices.register([device(1, user=7)])  # back again
        assert await other.devices_of([7, 8]) == {7: (device(1), nowhere[1]), 8: (device(3, user=8, token=None),)}
        await devices.register([device(4, user=8, apns=False)])  # the same letters at another provider
        assert (await devices.devices_of([7]))[7][0] == device(1)
        assert await devices.register([device(1, user=8)]) == [False]  # refused: it takes nothing
        assert (await devices.devices_of([7]))[7][0] == device(1)


async def test_a_device_stays_its_users(make_devices: MakeDevices) -> None:
    async with make_devices() as devices:
        await devices.register([device(1)])
        second = device(2, user=8, token="b" * 64)
        assert await devices.register([device(1, user=8), second]) == [False, True]
        assert await devices.devices_of([7, 8]) == {7: (device(1),), 8: (second,)}
        await devices.revoke(1, 8)
        assert await devices.revoked([1]) == set()


async def test_a_dead_token_is_forgotten_unless_there_is_another_by_now(make_devices: MakeDevices) -> None:
    async with make_devices() as devices, make_devices() as other:
        await devices.register([device(1), device(2)])
        await devices.register([device(2, token="b" * 64)])
        for old in (device(1), device(2), device(3), device(1, token=None)):
            await other.retire(old)
        assert await devices.devices_of([7]) == {7: (device(1, token=None), device(2, token="b" * 64))}
        await devices.register([device(1)])
        assert await devices.devices_of([7]) == {7: (device(1), device(2, token="b" * 64))}


async def test_revoked_is_for_ever(make_devices: MakeDevices) -> None:
    async with make_devices() as devices, make_devices() as other:
        await devices.register([device(1), device(2)])
        await devices.revoke(1, 7)
        await devices.revoke(9, 7)
        await devices.revoke(1, 7)
        assert await other.revoked([1, 2, 3, 9]) == {1, 9}
        assert await other.revoked([]) == set()
        assert await other.devices_of([7]) == {7: (device(2),)}
        assert await other.register([device(1), device(9)]) == [False, False]
        assert await devices.devices_of([7]) == {7: (device(2),)}
        assert await devices.owner(1) == 7


async def test_writers_at_once(make_devices: MakeDevices) -> None:
    async with make_devices() as one, make_devices() as other:
        await asyncio.gather(*(d.register([device(n)]) for n, d in enumerate((one, other) * 10, start=1)))
        assert len((await one.devices_of([7]))[7]) == 20


async def test_closed_means_unavailable(make_devices: MakeDevices) -> None:
    async with make_devices() as devices:
        await devices.register([device(1)])
        await devices.close()
        with pytest.raises(Unavailable):
            await devices.register([device(2)])
        with pytest.raises(Unavailable):
            await devices.devices_of([7])


async def test_who_refuses_to_be_added_is_known_until_they_take_it_back(make_devices: MakeDevices) -> None:
    async with make_devices() as devices, make_devices() as other:
        assert await devices.refusing([7, TOP]) == set()
        await devices.set_refusing(7, refuses=True)
        await other.set_refusing(TOP, refuses=True)
        await other.set_refusing(7, refuses=True)  # said twice
        assert await other.refusing([7, 8, TOP, 1 << 63]) == {7, TOP}
        await other.set_refusing(7, refuses=False)
        assert await devices.refusing([7, TOP]) == {TOP}
        await devices.set_refusing(7, refuses=True)
    async with make_devices() as devices:
        assert await devices.refusing([7, 8]) == {7}
