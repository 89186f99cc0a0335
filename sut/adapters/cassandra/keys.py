"""KeyStore on Cassandra (see cassandra.cql): lightweight transactions decide who gets a one-time prekey.

A take reads a few one-time prekeys and deletes one IF it EXISTS; of all who try, consensus tells one that it did. When
that answer is lost the prekey is lost too, and nobody has it. Publishing raises the device's highest number and adds
the prekeys above it in one conditional batch: of two publications at once one finds the number changed and tries again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

from sut.adapters.cassandra.policies import Address
from sut.adapters.cassandra.rows import MAX_INTEGER, Batch
from sut.adapters.cassandra.schema import Binding
from sut.adapters.cassandra.session import CassandraSession
from sut.ports import OneTimePrekey, PrekeyBundle, SignedPrekey, Unavailable, UserKeys

DEADLINE_S: Final = 3.0
"""A transaction takes four round trips among the replicas."""
ATTEMPTS: Final = 5
MAX_APART_S: Final = 0.2
OFFERED: Final = 16
"""One-time prekeys that a taker looks at: it takes one at random, so that takers at once seldom meet."""
MAX_PREKEYS: Final = 10_000


def statements(keyspace: str) -> dict[str, str]:
    """Every statement of the key store, by the name that the rest of it uses."""
    device, one_time, lists = (f"{keyspace}.{table}" for table in ("key_device", "one_time_prekey", "device_list"))
    whose = "WHERE user = ? AND device = ?"
    return {
        "put_device": f"INSERT INTO {device} (user, device, identity, signed, signed_key, signature)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        "delete_device": f"DELETE FROM {device} {whose}",
        "devices": f"SELECT device, identity, signed, signed_key, signature FROM {device} WHERE user = ?",
        "device": f"SELECT identity FROM {device} {whose}",
        "highest": f"SELECT DISTINCT highest FROM {one_time} {whose}",
        "raise": f"UPDATE {one_time} SET highest = ? {whose} IF highest = ?",
        "add": f"INSERT INTO {one_time} (user, device, number, identity, key) VALUES (?, ?, ?, ?, ?)",
        "offered": f"SELECT number, identity, key FROM {one_time} {whose} LIMIT ?",
        "take": f"DELETE FROM {one_time} {whose} AND number = ? IF EXISTS",
        "first_list": f"INSERT INTO {lists} (user, version, data) VALUES (?, ?, ?) IF NOT EXISTS",
        "next_list": f"UPDATE {lists} SET version = ?, data = ? WHERE user = ? IF version < ?",
        "list": f"SELECT data FROM {lists} WHERE user = ?",
    }


class CassandraKeys:
    """The shelf in a keyspace. Belongs to one event loop; other processes open the same keyspace."""

    def __init__(
        self,
        dialed: Mapping[Address, Address],
        binding: Binding,
        *,
        local_dc: str | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Connects with the first call. `dialed`: where to dial each node, by its own (rpc address, port)."""
        self._session = CassandraSession(
            dialed,
            binding=binding,
            statements=statements(binding.keyspace),
            local_dc=local_dc,
            deadline_s=deadline_s,
        )
        self._turns: WeakValueDictionary[tuple[int, int], asyncio.Lock] = WeakValueDictionary()

    async def publish(
        self,
        user: int,
        device: int,
        *,
        identity_key: bytes,
        signed_prekey: SignedPrekey,
        one_time: Sequence[OneTimePrekey],
    ) -> None:
        """The one-time prekeys first: a device whose row is there has them."""
        before = await self._session.read("device", (user, device))
        if before and before[0][0] != identity_key:
            await self.remove(user, device)
        if one_time:
            async with self._turn(user, device):
                await self._add(user, device, identity_key, one_time)
        row = (user, device, identity_key, signed_prekey.number, signed_prekey.key, signed_prekey.signature)
        await self._session.write(Batch((("put_device", row),)))

    async def put_device_list(self, user: int, version: int, data: bytes) -> bool:
        """Compare and replace. Repeating a list that is there is true too."""
        if not await self._session.conditional([("first_list", (user, version, data))]):
            await self._session.conditional([("next_list", (version, data, user, version))])
        found = await self._session.read("list", (user,))
        return bool(found and found[0][0] == data)

    async def take(self, user: int, *, with_one_time: bool = True) -> UserKeys:
        """A bundle of each device; taking is a transaction each."""
        if user > MAX_INTEGER:
            return UserKeys((), b"")
        lists = await self._session.read("list", (user,))
        bundles = []
        for device, identity, *signed in await self._session.read("devices", (user,)):
            one_time = None
            if with_one_time:
                async with self._turn(user, device):
                    one_time = await self._take_one(user, device, identity)
            bundles.append(PrekeyBundle(device, identity, SignedPrekey(*signed), one_time))
        return UserKeys(tuple(bundles), lists[0][0] if lists else b"")

    async def count(self, user: int, device: int) -> int:
        """One-time prekeys left."""
        return len(await self._all(user, device))

    async def remove(self, user: int, device: int) -> None:
        """All but the highest number."""
        await self._session.write(Batch((("delete_device", (user, device)),)))
        for number, _, _ in await self._all(user, device):
            await self._session.conditional([("take", (user, device, number))])

    async def close(self) -> None:
        """End the connections; what is under way becomes Unavailable."""
        await self._session.close()

    async def _add(self, user: int, device: int, identity: bytes, one_time: Sequence[OneTimePrekey]) -> None:
        unsure: Unavailable | None = None
        for _ in range(ATTEMPTS):
            found = await self._session.read("highest", (user, device))
            highest = found[0][0] if found else None
            fresh = {prekey.number: prekey.key for prekey in one_time if prekey.number > (highest or 0)}
            if not fresh:
                return
            adds = [("add", (user, device, number, identity, key)) for number, key in fresh.items()]
            try:
                if await self._session.conditional([("raise", (max(fresh), user, device, highest)), *adds]):
                    return
            except Unavailable as error:  # it may have happened, or may yet: the next transaction settles that
                unsure = error
            await self._apart()
        raise unsure or Unavailable(f"cassandra: the keys of device {device} change too fast")

    async def _take_one(self, user: int, device: int, identity: bytes) -> OneTimePrekey | None:
        unsure: Unavailable | None = None
        for _ in range(ATTEMPTS):
            offered = await self._session.read("offered", (user, device, OFFERED))
            ours = [(number, key) for number, whose, key in offered if number is not None and whose == identity]
            if not ours:
                return None
            number, key = random.choice(ours)
            try:
                if await self._session.conditional([("take", (user, device, number))]):
                    return OneTimePrekey(number, key)
            except Unavailable as error:  # whether it was taken or not, nobody may have this one now: another
                unsure = error
            await self._apart()
        if unsure is not None:
            raise unsure
        return None

    def _turn(self, user: int, device: int) -> asyncio.Lock:
        """Transactions on one device's keys are on one partition: those of this process need not meet there at all."""
        return self._turns.setdefault((user, device), asyncio.Lock())

    async def _apart(self) -> None:
        """Transactions that meet hinder each other: whoever lost waits a while of its own."""
        await asyncio.sleep(random.uniform(0, MAX_APART_S))

    async def _all(self, user: int, device: int) -> list[tuple[Any, ...]]:
        """The rows of a device's one-time prekeys. A partition with only its static column has one row without one."""
        rows = await self._session.read("offered", (user, device, MAX_PREKEYS))
        return [row for row in rows if row[0] is not None]
