"""The device directory on SQLite: one small file, opened by every process that issues tokens or sends pushes.

Changes share transactions (writer.py). They take effect in the order of their submission, and each sees the
effect of those before it. That makes `retire` a compare-and-delete.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sut.adapters.shared.bounded_pool import BoundedPool
from sut.adapters.sqlite.file import MAX_INTEGER, Layout, open_files
from sut.adapters.sqlite.writer import Writer
from sut.ports import PushAddress, RegisteredDevice

DEVICES: Final = Layout(schema="devices.sql", application_id=0x53504431, synchronous="FULL")
DEADLINE_S: Final = 2.0
LOCK_SHARE: Final = 0.75
THREADS: Final = 3
MAX_WAITING: Final = 1_000
MAX_CHANGES: Final = 20_000
MAX_BATCH: Final = 2_000

_PUT: Final = (
    "INSERT INTO device (device, user, provider, token) VALUES (?, ?, ?, ?) ON CONFLICT (device)"
    " DO UPDATE SET provider = excluded.provider, token = excluded.token"
    " WHERE device.user = excluded.user AND NOT device.revoked"
)
_INDEX: Final = "CREATE INDEX IF NOT EXISTS device_of_address ON device (token) WHERE token IS NOT NULL"
"""Not in devices.sql: older files lack it and are good without it."""
_REFUSALS: Final = "CREATE TABLE IF NOT EXISTS refuses_groups (user INTEGER PRIMARY KEY) WITHOUT ROWID"
"""Users who refuse to be added to groups. Not in devices.sql either: an older file gets it here."""
_REFUSE: Final = "INSERT OR IGNORE INTO refuses_groups (user) VALUES (?)"
_ALLOW: Final = "DELETE FROM refuses_groups WHERE user = ?"
_REFUSING: Final = "SELECT user FROM refuses_groups WHERE user IN (SELECT value FROM json_each(?))"
_DISOWN: Final = "UPDATE device SET provider = NULL, token = NULL WHERE token = ? AND provider = ? AND user <> ?"
_RETIRE: Final = "UPDATE device SET provider = NULL, token = NULL WHERE device = ? AND provider = ? AND token = ?"
_REVOKE: Final = (
    "INSERT INTO device (device, user, revoked) VALUES (?, ?, 1) ON CONFLICT (device)"
    " DO UPDATE SET revoked = 1, provider = NULL, token = NULL WHERE device.user = excluded.user"
)
_OF_USERS: Final = (
    "SELECT user, device, provider, token FROM device"
    " WHERE user IN (SELECT value FROM json_each(?)) AND NOT revoked ORDER BY device"
)
_REVOKED: Final = "SELECT device FROM device WHERE device IN (SELECT value FROM json_each(?)) AND revoked"

_Change = Callable[[sqlite3.Connection], bool]


class SqliteDevices:
    """The directory in data/devices.db. Belongs to one event loop; other processes open the same file."""

    def __init__(self, directory: Path, partitions: int, *, deadline_s: float = DEADLINE_S) -> None:
        """Open the file, or create it. Raises Unavailable, Damaged. `partitions`: the number of partitions of the
        directory.
        """
        [self._file] = open_files(
            directory, [("devices.db", DEVICES)], partitions=partitions, lock_wait_s=LOCK_SHARE * deadline_s
        )
        self._file.write(lambda connection: connection.execute(_INDEX))
        self._file.write(lambda connection: connection.execute(_REFUSALS))
        self._pool = BoundedPool("devices", threads=THREADS, max_waiting=MAX_WAITING, deadline_s=deadline_s)
        self._changes: Writer[_Change, bool] = Writer(
            str(self._file.path), self._apply, max_batch=MAX_BATCH, max_waiting=MAX_CHANGES, deadline_s=deadline_s
        )

    async def register(self, devices: Sequence[RegisteredDevice]) -> list[bool]:
        """Add the devices, or replace their push addresses. False for a device that is revoked or belongs to another
        user.

        Other users' devices with the same address lose it, in the same transaction.
        """
        return await self._changes.submit([_put(device) for device in devices])

    async def devices_of(self, users: Sequence[int]) -> dict[int, tuple[RegisteredDevice, ...]]:
        """Return user -> their devices that are not revoked, by device. Users without one are left out."""
        asked = json.dumps([user for user in users if user <= MAX_INTEGER])
        rows = await self._pool.run(lambda: self._file.read(lambda c: c.execute(_OF_USERS, (asked,)).fetchall()))
        found: dict[int, tuple[RegisteredDevice, ...]] = {}
        for user, device, provider, token in rows:
            push = PushAddress(provider, token) if provider else None
            found[user] = (*found.get(user, ()), RegisteredDevice(user, device, push))
        return found

    async def owner(self, device: int) -> int | None:
        """Return the user that the device belongs or belonged to; None if it was never registered."""
        if device > MAX_INTEGER:
            return None

        def select(connection: sqlite3.Connection) -> list[tuple[int]]:
            return connection.execute("SELECT user FROM device WHERE device = ?", (device,)).fetchall()

        rows = await self._pool.run(lambda: self._file.read(select))
        return rows[0][0] if rows else None

    async def retire(self, device: RegisteredDevice) -> None:
        """Delete this push token of the device, unless it has a different one now."""
        push = device.push
        if push is not None:
            await self._changes.submit([_run(_RETIRE, (device.device, push.provider, push.token))])

    async def revoke(self, device: int, user: int) -> None:
        """Revoke the device. Does nothing if it belongs to another user."""
        await self._changes.submit([_run(_REVOKE, (device, user))])

    async def revoked(self, devices: Sequence[int]) -> set[int]:
        """The subset of `devices` that is revoked."""
        asked = json.dumps([device for device in devices if device <= MAX_INTEGER])
        rows = await self._pool.run(lambda: self._file.read(lambda c: c.execute(_REVOKED, (asked,)).fetchall()))
        return {device for (device,) in rows}

    async def set_refusing(self, user: int, *, refuses: bool) -> None:
        """Record whether this user refuses to be added to groups."""
        await self._changes.submit([_run(_REFUSE if refuses else _ALLOW, (user,))])

    async def refusing(self, users: Sequence[int]) -> set[int]:
        """The subset of `users` that refuses to be added to groups."""
        asked = json.dumps([user for user in users if user <= MAX_INTEGER])
        rows = await self._pool.run(lambda: self._file.read(lambda c: c.execute(_REFUSING, (asked,)).fetchall()))
        return {user for (user,) in rows}

    async def close(self) -> None:
        """Finish the changes in progress, within the deadline, and close the file."""
        await self._changes.close()
        await self._pool.close()
        self._file.close()

    def _apply(self, changes: list[_Change]) -> list[bool]:
        """Apply all changes in one transaction, in order. Runs on the writing thread."""
        return self._file.write(lambda connection: [change(connection) for change in changes])


def _run(statement: str, parameters: tuple[object, ...]) -> _Change:
    return lambda connection: bool(connection.execute(statement, parameters).rowcount)


def _put(device: RegisteredDevice) -> _Change:
    provider, token = (device.push.provider, device.push.token) if device.push else (None, None)

    def put(connection: sqlite3.Connection) -> bool:
        done = bool(connection.execute(_PUT, (device.device, device.user, provider, token)).rowcount)
        if done and token is not None:
            connection.execute(_DISOWN, (token, provider, device.user))
        return done

    return put
