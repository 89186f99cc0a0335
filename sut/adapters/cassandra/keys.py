"""KeyStore on Cassandra (see schema.cql): lightweight transactions decide who gets a one-time prekey.

A take reads a few one-time prekeys and deletes one IF it EXISTS; consensus confirms that to one taker only. When its
answer is lost, the prekey is lost too, and nobody has it. Publishing raises the device's highest number and adds the
prekeys above it in one conditional batch. Of two publications at once, one finds the number changed and tries again.

The row of a device is written above what it replaces (order.py). A removed device has an empty identity there: a
deletion would have a timestamp that a later publication could not read.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

from sut.adapters.cassandra.opening import Home
from sut.adapters.cassandra.order import after
from sut.adapters.cassandra.rows import MAX_INTEGER, Batch
from sut.adapters.cassandra.session import CassandraSession
from sut.ports import OneTimePrekey, PrekeyBundle, SignedPrekey, Unavailable, UserKeys

DEADLINE_S: Final = 3.0
"""A transaction takes four round trips among the replicas."""
ATTEMPTS: Final = 5
MAX_APART_S: Final = 0.2
OFFERED: Final = 16
"""One-time prekeys that a taker reads. It takes one at random, so that concurrent takers seldom meet."""
MAX_PREKEYS: Final = 10_000
REMOVED: Final = b""
"""The identity key of a device that has been removed."""


def statements(keyspace: str) -> dict[str, str]:
    """Return every statement of the key store by name."""
    device, one_time, lists = (f"{keyspace}.{table}" for table in ("key_device", "one_time_prekey", "device_list"))
    whose = "WHERE user = ? AND device = ?"
    return {
        "put_device": f"INSERT INTO {device} (user, device, identity, signed, signed_key, signature)"
        " VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
        "written": f"SELECT WRITETIME(identity) FROM {device} {whose}",
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
    """The keys in one keyspace. Belongs to one event loop; other processes open the same keyspace."""

    def __init__(
        self, home: Home, *, deadline_s: float = DEADLINE_S, wall_clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        """Connects at the first call."""
        self._wall_clock_ns = wall_clock_ns
        self._session = CassandraSession(home, statements(home.binding.keyspace), deadline_s=deadline_s)
        self._turns: WeakValueDictionary[tuple[int, int], asyncio.Lock] = WeakValueDictionary()

    async def publish(
        self,
        user: int,
        device: int,
        *,
        identity_key: bytes,
        signed_prekey: SignedPrekey,
        one_time: Sequence[OneTimePrekey],
    ) -> int:
        """Publish; the one-time prekeys are written first, so that a visible device row has them."""
        before = await self._session.read("device", (user, device))
        if before and before[0][0] not in (identity_key, REMOVED):
            await self.remove(user, device)
        async with self._turn(user, device):
            highest = await self._add(user, device, identity_key, one_time)
        await self._put(user, device, identity_key, signed_prekey)
        return highest

    async def put_device_list(self, user: int, version: int, data: bytes) -> bool:
        """Replace the list if `version` is higher. Returns True also for the list that is already stored."""
        if not await self._session.conditional([("first_list", (user, version, data))]):
            await self._session.conditional([("next_list", (version, data, user, version))])
        found = await self._session.read("list", (user,))
        return bool(found and found[0][0] == data)

    async def take(self, user: int, *, with_one_time: bool = True) -> UserKeys:
        """Return a bundle of each device. Each one-time prekey costs one transaction."""
        if user > MAX_INTEGER:
            return UserKeys((), b"")
        lists = await self._session.read("list", (user,))
        bundles = []
        for device, identity, *signed in await self._session.read("devices", (user,)):
            if identity == REMOVED:
                continue
            one_time = None
            if with_one_time:
                async with self._turn(user, device):
                    one_time = await self._take_one(user, device, identity)
            bundles.append(PrekeyBundle(device, identity, SignedPrekey(*signed), one_time))
        return UserKeys(tuple(bundles), lists[0][0] if lists else b"")

    async def count(self, user: int, device: int) -> int:
        return len(await self._all(user, device))

    async def remove(self, user: int, device: int) -> None:
        """Delete all keys of the device; its highest number stays."""
        if await self._session.read("device", (user, device)):
            await self._put(user, device, REMOVED, SignedPrekey(0, b"", b""))
        for number, _, _ in await self._all(user, device):
            await self._session.conditional([("take", (user, device, number))])

    async def close(self) -> None:
        """Close the connections; requests in progress raise Unavailable."""
        await self._session.close()

    async def _put(self, user: int, device: int, identity: bytes, signed: SignedPrekey) -> None:
        at_us = await after(self._session, "written", (user, device), wall_clock_ns=self._wall_clock_ns)
        row = (user, device, identity, signed.number, signed.key, signed.signature, at_us)
        await self._session.write(Batch((("put_device", row),)))

    async def _add(self, user: int, device: int, identity: bytes, one_time: Sequence[OneTimePrekey]) -> int:
        """Add those above the highest number; return the highest number after it."""
        unsure: Unavailable | None = None
        for _ in range(ATTEMPTS):
            found = await self._session.read("highest", (user, device))
            highest = found[0][0] if found else None
            fresh = {prekey.number: prekey.key for prekey in one_time if prekey.number > (highest or 0)}
            if not fresh:
                return highest or 0
            adds = [("add", (user, device, number, identity, key)) for number, key in fresh.items()]
            try:
                if await self._session.conditional([("raise", (max(fresh), user, device, highest)), *adds]):
                    return max(fresh)
            except Unavailable as error:  # it may have happened, or may still: the next transaction settles that
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
            except Unavailable as error:  # taken or not, nobody may get this one now: take another
                unsure = error
            await self._apart()
        if unsure is not None:
            raise unsure
        return None

    def _turn(self, user: int, device: int) -> asyncio.Lock:
        """Return a lock: one device's keys are one partition, so this process runs their transactions one by one."""
        return self._turns.setdefault((user, device), asyncio.Lock())

    async def _apart(self) -> None:
        """Wait a random time: concurrent transactions on a partition hinder each other."""
        await asyncio.sleep(random.uniform(0, MAX_APART_S))

    async def _all(self, user: int, device: int) -> list[tuple[Any, ...]]:
        """The rows of a device's one-time prekeys. A partition with only its static column yields a row without one."""
        rows = await self._session.read("offered", (user, device, MAX_PREKEYS))
        return [row for row in rows if row[0] is not None]
