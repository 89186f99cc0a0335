"""KeyStore on SQLite: one file that every API process opens.

`take` is one transaction that reads and deletes, alone among all processes. It is on the disk before the keys are
handed out, so no other caller can get them. The highest published number is stored, so that no key comes back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from sut.adapters.shared.bounded_pool import BoundedPool
from sut.adapters.sqlite.file import MAX_INTEGER, Layout, open_files
from sut.ports import OneTimePrekey, PrekeyBundle, SignedPrekey, UserKeys

KEYS: Final = Layout(schema="keys.sql", application_id=0x53504B31, synchronous="FULL")
DEADLINE_S: Final = 2.0
LOCK_SHARE: Final = 0.75
THREADS: Final = 2
MAX_WAITING: Final = 1_000

_PUT_DEVICE: Final = (
    "INSERT INTO device (user, device, identity, signed, signed_key, signature, highest) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (user, device) DO UPDATE SET identity = excluded.identity, signed = excluded.signed,"
    " signed_key = excluded.signed_key, signature = excluded.signature, highest = excluded.highest"
)
_PUT_LIST: Final = (
    "INSERT INTO device_list (user, version, data) VALUES (?, ?, ?) ON CONFLICT (user)"
    " DO UPDATE SET version = excluded.version, data = excluded.data WHERE excluded.version > device_list.version"
)
_DEVICES: Final = (
    "SELECT device, identity, signed, signed_key, signature FROM device WHERE user = ? AND identity IS NOT NULL"
    " ORDER BY device"
)
_FIRST: Final = "SELECT number, key FROM one_time WHERE user = ? AND device = ? ORDER BY number LIMIT 1"
_DELETE: Final = "DELETE FROM one_time WHERE user = ? AND device = ? AND number = ?"
_DELETE_ALL: Final = "DELETE FROM one_time WHERE user = ? AND device = ?"


class SqliteKeys:
    """The keys in one directory. Belongs to one event loop; other processes open the same directory."""

    def __init__(self, directory: Path, partitions: int, *, deadline_s: float = DEADLINE_S) -> None:
        """Open the file, or create it. Raises Unavailable, Damaged. No call takes much longer than `deadline_s`."""
        (self._file,) = open_files(
            directory, [("keys.db", KEYS)], partitions=partitions, lock_wait_s=LOCK_SHARE * deadline_s
        )
        self._pool = BoundedPool("keys", threads=THREADS, max_waiting=MAX_WAITING, deadline_s=deadline_s)

    async def publish(
        self,
        user: int,
        device: int,
        *,
        identity_key: bytes,
        signed_prekey: SignedPrekey,
        one_time: Sequence[OneTimePrekey],
    ) -> int:
        """Publish the keys of a device in one transaction. Returns the highest number of all its publications."""

        def write(connection: sqlite3.Connection) -> int:
            query = "SELECT identity, highest FROM device WHERE user = ? AND device = ?"
            before = connection.execute(query, (user, device)).fetchone()
            identity, highest = before or (None, 0)
            if identity != identity_key:
                connection.execute(_DELETE_ALL, (user, device))
            fresh = {prekey.number: prekey.key for prekey in one_time if prekey.number > highest}
            highest = max((highest, *fresh))
            connection.execute(
                _PUT_DEVICE,
                (
                    *(user, device, identity_key),
                    *(signed_prekey.number, signed_prekey.key, signed_prekey.signature),
                    highest,
                ),
            )
            connection.executemany(
                "INSERT INTO one_time (user, device, number, key) VALUES (?, ?, ?, ?)",
                [(user, device, number, key) for number, key in fresh.items()],
            )
            return int(highest)

        return await self._pool.run(partial(self._file.write, write))

    async def put_device_list(self, user: int, version: int, data: bytes) -> bool:
        """Replace the list if `version` is higher. Returns True also for the list that is already stored."""

        def write(connection: sqlite3.Connection) -> bool:
            connection.execute(_PUT_LIST, (user, version, data))
            (there,) = connection.execute("SELECT data FROM device_list WHERE user = ?", (user,)).fetchone()
            return bool(there == data)

        return await self._pool.run(partial(self._file.write, write))

    async def take(self, user: int, *, with_one_time: bool = True) -> UserKeys:
        """Return a user's keys, and delete the one-time prekeys among them. Without one-time prekeys it only reads."""
        if user > MAX_INTEGER:
            return UserKeys((), b"")

        def look(connection: sqlite3.Connection) -> UserKeys:
            found = connection.execute("SELECT data FROM device_list WHERE user = ?", (user,)).fetchone()
            bundles = tuple(
                PrekeyBundle(
                    device,
                    identity,
                    SignedPrekey(*signed),
                    _take_one(connection, user, device) if with_one_time else None,
                )
                for device, identity, *signed in connection.execute(_DEVICES, (user,)).fetchall()
            )
            return UserKeys(bundles, found[0] if found else b"")

        return await self._pool.run(partial(self._file.write if with_one_time else self._file.read, look))

    async def count(self, user: int, device: int) -> int:

        def select(connection: sqlite3.Connection) -> int:
            query = "SELECT count(*) FROM one_time WHERE user = ? AND device = ?"
            return int(connection.execute(query, (user, device)).fetchone()[0])

        return await self._pool.run(partial(self._file.read, select))

    async def remove(self, user: int, device: int) -> None:
        """Delete all keys of the device; its highest number stays."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(_DELETE_ALL, (user, device))
            connection.execute(
                "UPDATE device SET identity = NULL, signed = NULL, signed_key = NULL, signature = NULL"
                " WHERE user = ? AND device = ?",
                (user, device),
            )

        await self._pool.run(partial(self._file.write, write))

    async def close(self) -> None:
        """Finish the calls in progress, within the deadline, and close the file."""
        await self._pool.close()
        self._file.close()


def _take_one(connection: sqlite3.Connection, user: int, device: int) -> OneTimePrekey | None:
    found = connection.execute(_FIRST, (user, device)).fetchone()
    if found is None:
        return None
    connection.execute(_DELETE, (user, device, found[0]))
    return OneTimePrekey(*found)
