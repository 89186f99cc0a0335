"""What was there before: a keyspace that somebody made, and registrations by a process whose clock is ahead."""

import contextlib
import time

import pytest

from sut.adapters.cassandra.keys import CassandraKeys
from sut.adapters.cassandra.schema import TooFewReplicas, WrongTable
from sut.ports import PushAddress, RegisteredDevice, SignedPrekey
from tests.kit.pace import scaled
from tests.sut.adapters.cassandra_system import CassandraSystem

CONV = 11


@pytest.mark.cluster
async def test_a_keyspace_with_fewer_replicas_than_asked_for_is_refused(cassandra_system: CassandraSystem) -> None:
    """Somebody made it beforehand: CREATE KEYSPACE IF NOT EXISTS would take it as it is."""
    with contextlib.closing(cassandra_system.cql()) as cql:
        cql.run("CREATE KEYSPACE thin WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}")
        store = cassandra_system.store(keyspace="thin", deadline_s=scaled(60.0))
        with pytest.raises(TooFewReplicas, match=r"keyspace thin keeps 1 replicas in \w+, not 3: ALTER KEYSPACE"):
            await store.load(CONV)
        await store.close()
        cql.run("DROP KEYSPACE thin")


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ("ALTER TABLE odd.message WITH read_repair = 'BLOCKING'", "table message has read_repair BLOCKING, not NONE"),
        ("ALTER TABLE odd.device DROP revoked", "column revoked of table device is missing, not boolean"),
        ("ALTER KEYSPACE odd WITH durable_writes = false", "keyspace odd has durable_writes = false"),
    ],
)
async def test_tables_that_are_otherwise_than_the_store_relies_on_are_refused(
    cassandra_system: CassandraSystem, changed: str, says: str
) -> None:
    """As an earlier version of this system, or somebody by hand, may have left them."""
    with contextlib.closing(cassandra_system.cql()) as cql:
        made = cassandra_system.store(keyspace="odd", deadline_s=scaled(60.0))
        await made.load(CONV)
        await made.close()
        cql.run(changed)
        store = cassandra_system.store(keyspace="odd", creates=False, deadline_s=scaled(60.0))
        with pytest.raises(WrongTable, match=says):
            await store.load(CONV)
        await store.close()
        cql.run("DROP KEYSPACE odd")


async def test_the_later_publication_and_removal_count_whatever_the_clocks_say(
    cassandra_system: CassandraSystem,
) -> None:
    """A device whose keys were published by a process an hour ahead is removed by another one, and publishes again."""

    async def published(keys: CassandraKeys, number: int) -> None:
        signed = SignedPrekey(number, b"k" * 32, b"s" * 64)
        await keys.publish(81, 41, identity_key=b"i" * 32, signed_prekey=signed, one_time=[])

    async def found() -> list[int]:
        return [bundle.signed_prekey.number for bundle in (await behind.take(81)).bundles]

    def an_hour_ahead() -> int:
        return time.time_ns() + 3_600 * 10**9

    system = cassandra_system
    async with system.opened_keys(wall_clock_ns=an_hour_ahead) as ahead, system.opened_keys() as behind:
        await published(ahead, 1)
        await published(behind, 2)
        assert await found() == [2]
        await behind.remove(81, 41)
        assert await found() == []
        await published(behind, 3)
        assert await found() == [3]
        await ahead.remove(81, 41)
        assert await found() == []
        await published(behind, 4)
        assert await found() == [4]
    system.empty("keys")


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
        # By turns, each time through the other process: one of the two has it, the one who came last.
        for turn, directory in enumerate((ahead, behind, behind, ahead, behind, behind)):
            user, other = ((72, 73), (73, 72))[turn % 2]
            assert await directory.register([phone(32 + user - 72, user, "shared")]) == [True]
            assert (await addresses(user), await addresses(other)) == ([PushAddress("fcm", "shared")], [None])
    system.empty("devices")
