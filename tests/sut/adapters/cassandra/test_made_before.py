"""What was there before: a keyspace that somebody made, and registrations by a process whose clock is ahead."""

import contextlib
import time

import pytest

from sut.adapters.cassandra.schema import TooFewReplicas
from sut.ports import PushAddress, RegisteredDevice
from tests.kit.pace import scaled
from tests.sut.adapters.cassandra_system import CassandraSystem

CONV = 11


async def test_a_keyspace_with_fewer_replicas_than_asked_for_is_refused(cassandra_system: CassandraSystem) -> None:
    """Somebody made it beforehand: CREATE KEYSPACE IF NOT EXISTS would take it as it is."""
    with contextlib.closing(cassandra_system.cql()) as cql:
        cql.run("CREATE KEYSPACE thin WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}")
        store = cassandra_system.store(keyspace="thin", deadline_s=scaled(60.0))
        with pytest.raises(TooFewReplicas, match=r"keyspace thin keeps 1 replicas in \w+, not 3: ALTER KEYSPACE"):
            await store.load(CONV)
        await store.close()
        cql.run("DROP KEYSPACE thin")


async def test_the_later_registration_counts_whatever_the_clocks_say(cassandra_system: CassandraSystem) -> None:
    """One process's clock is an hour ahead: what it wrote must not stay for that hour."""

    def phone(device: int, user: int, token: str) -> RegisteredDevice:
        return RegisteredDevice(user, device, PushAddress("fcm", token))

    async def addresses(user: int) -> list[PushAddress | None]:
        return [device.push for device in (await behind.devices_of([user])).get(user, ())]

    def an_hour_ahead() -> int:
        return time.time_ns() + 3_600 * 10**9

    system = cassandra_system
    async with system.opened_devices(wall_clock_ns=an_hour_ahead) as ahead, system.opened_devices() as behind:
        assert await ahead.register([phone(31, 71, "old")]) == [True]
        assert await behind.register([phone(31, 71, "new")]) == [True]
        assert await addresses(71) == [PushAddress("fcm", "new")]
        await behind.retire(phone(31, 71, "new"))
        assert await addresses(71) == [None]
        assert await behind.register([phone(31, 71, "new")]) == [True]
        assert await addresses(71) == [PushAddress("fcm", "new")]
        assert await ahead.register([phone(32, 72, "shared")]) == [True]
        assert await behind.register([phone(33, 73, "shared")]) == [True]
        assert (await addresses(72), await addresses(73)) == ([None], [PushAddress("fcm", "shared")])
    system.empty()
