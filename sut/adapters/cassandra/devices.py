"""The device directory on Cassandra: the user of each device, and the push address by user (see schema.cql).

No lightweight transactions: each fact is a cell of its own that only one kind of write sets, so concurrent writes
never mix. Retiring a token stores which one is dead; a newer token differs from it, and counts. A write's timestamp is
above that of what it replaces, so the later call counts even if the clock of its process is behind. Registering a
device for two users at the same moment is the operator's mistake: the later one gets it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from sut.adapters.cassandra.each import chunks, each
from sut.adapters.cassandra.opening import Home
from sut.adapters.cassandra.order import after
from sut.adapters.cassandra.rows import MAX_INTEGER, Batch
from sut.adapters.cassandra.session import CassandraSession
from sut.ports import Provider, PushAddress, RegisteredDevice

DEADLINE_S: Final = 2.0
US: Final = 1_000
"""Nanoseconds of the smallest step of a write timestamp."""
WIDTH: Final = 32
AT_ONCE: Final = 32
"""Partitions in one query: one request to a node instead of one each."""


def statements(keyspace: str) -> dict[str, str]:
    """Return every statement of the directory, all idempotent, by name."""
    device, of_user, address = f"{keyspace}.device", f"{keyspace}.device_of_user", f"{keyspace}.push_address"
    which = "WHERE user = ? AND device = ?"
    refusal, at = f"{keyspace}.refuses_groups", "provider = ? AND push_token = ?"
    return {
        "claim": f"UPDATE {address} USING TIMESTAMP ? SET since = ? WHERE {at} AND user = ? AND device = ?",
        "claims": f"SELECT user, device, since, WRITETIME(since) FROM {address} WHERE {at}",
        "unclaim": f"DELETE FROM {address} USING TIMESTAMP ? WHERE {at} AND user = ? AND device = ?",
        "put_device": f"UPDATE {device} SET user = ? WHERE device = ?",
        "written": f"SELECT WRITETIME(push_token), WRITETIME(retired) FROM {of_user} {which}",
        "put_push": f"UPDATE {of_user} USING TIMESTAMP ? SET provider = ?, push_token = ?, retired = '' {which}",
        "retire": f"UPDATE {of_user} USING TIMESTAMP ? SET retired = ? {which}",
        "revoke_device": f"UPDATE {device} SET user = ?, revoked = true WHERE device = ?",
        "revoke_push": f"UPDATE {of_user} SET revoked = true WHERE user = ? AND device = ?",
        "refuse": f"UPDATE {refusal} USING TIMESTAMP ? SET refuses = ?, version = ? WHERE user = ?",
        "refusals": f"SELECT user, refuses, version FROM {refusal} WHERE user IN ?",
        "devices": f"SELECT device, user, revoked FROM {device} WHERE device IN ?",
        "of_users": f"SELECT user, device, provider, push_token, retired, revoked FROM {of_user} WHERE user IN ?",
    }


class CassandraDevices:
    """The directory in one keyspace. Belongs to one event loop; other processes open the same keyspace."""

    def __init__(
        self, home: Home, *, deadline_s: float = DEADLINE_S, wall_clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        """Connects at the first call."""
        self._wall_clock_ns = wall_clock_ns
        self._session = CassandraSession(home, statements(home.binding.keyspace), deadline_s=deadline_s)

    async def register(self, devices: Sequence[RegisteredDevice]) -> list[bool]:
        """Add the devices, or replace their push address. False: it is another user's or revoked."""
        known = await self._known([device.device for device in devices])
        may = [known.get(device.device, (device.user, False)) == (device.user, False) for device in devices]
        taken = [device for device, allowed in zip(devices, may, strict=True) if allowed]
        # The owner is written first: a push address without an owner would count, the reverse is harmless.
        fresh = [device for device in taken if device.device not in known]
        await each(fresh, lambda d: self._write("put_device", d.user, d.device), width=WIDTH)
        await each(taken, self._put_push, width=WIDTH)
        return may

    async def devices_of(self, users: Sequence[int]) -> dict[int, tuple[RegisteredDevice, ...]]:
        """Map each user to their devices that are not revoked; users without one are left out."""
        found: dict[int, tuple[RegisteredDevice, ...]] = {}

        async def ask(part: Sequence[int]) -> None:
            for user, device, provider, token, retired, revoked in await self._session.read("of_users", (part,)):
                if revoked or provider is None:  # no provider: the row of a device that was only ever revoked
                    continue
                dead = not provider or retired == f"{provider} {token}"
                push = None if dead else PushAddress(cast("Provider", provider), token)
                found[user] = (*found.get(user, ()), RegisteredDevice(user, device, push))

        await each(chunks([user for user in users if user <= MAX_INTEGER], AT_ONCE), ask, width=WIDTH)
        return {user: found[user] for user in users if user in found}  # in the order of `users`, not of the answers

    async def owner(self, device: int) -> int | None:
        """The user that the device belongs or belonged to; None if it was never registered."""
        return (await self._known([device])).get(device, (None, False))[0]

    async def retire(self, device: RegisteredDevice) -> None:
        """Forget this push token of the device, unless it has a different one now."""
        if device.push is not None:
            dead = f"{device.push.provider} {device.push.token}"
            await self._retire(dead, device.user, device.device)

    async def revoke(self, device: int, user: int) -> None:
        """Revoke the device. Does nothing if it is known as another user's."""
        if (await self._known([device])).get(device, (user, False))[0] == user:
            await self._write("revoke_device", user, device)
            await self._write("revoke_push", user, device)

    async def revoked(self, devices: Sequence[int]) -> set[int]:
        """The subset of `devices` that is revoked."""
        return {device for device, (_, revoked) in (await self._known(devices)).items() if revoked}

    async def set_refusing(self, user: int, *, refuses: bool) -> None:
        """Record whether this user refuses to be added to groups. The order is that of the versions, not of clocks."""
        known = await self._session.read("refusals", ([user],))
        version = max((version for _, _, version in known), default=0) + 1
        await self._write("refuse", version, refuses, version, user)

    async def refusing(self, users: Sequence[int]) -> set[int]:
        """The subset of `users` that refuses to be added to groups."""
        found: set[int] = set()

        async def ask(part: Sequence[int]) -> None:
            found.update(user for user, refuses, _ in await self._session.read("refusals", (part,)) if refuses)

        await each(chunks([user for user in users if user <= MAX_INTEGER], AT_ONCE), ask, width=WIDTH)
        return found

    async def close(self) -> None:
        """Close the connections; requests in progress raise Unavailable."""
        await self._session.close()

    async def _known(self, devices: Sequence[int]) -> dict[int, tuple[int, bool]]:
        """Map each device that was ever registered or revoked to (its user, True if revoked)."""
        found: dict[int, tuple[int, bool]] = {}

        async def ask(part: Sequence[int]) -> None:
            for device, user, revoked in await self._session.read("devices", (part,)):
                found[device] = (user, bool(revoked))

        await each(chunks([device for device in devices if device <= MAX_INTEGER], AT_ONCE), ask, width=WIDTH)
        return found

    async def _put_push(self, device: RegisteredDevice) -> None:
        provider, token = (device.push.provider, device.push.token) if device.push else ("", "")
        at_us = await self._after(device.user, device.device)
        await self._write("put_push", at_us, provider, token, device.user, device.device)
        if device.push is not None:
            await self._own(device, device.push)

    async def _own(self, device: RegisteredDevice, push: PushAddress) -> None:
        """Take the address from other users' devices. Of two that claim it at once the newer by the clock has it.

        A claim's write timestamp is its `since` in us; its deletion has the same one. So a later claim, which is above
        all that stand there, is above all deletions, too. Older claims have the timestamp of their writer's clock.
        """
        earlier = await self._session.read("claims", (push.provider, push.token))
        above = (max(since, written * US) + US for _, _, since, written in earlier)
        since_ns = max([self._wall_clock_ns(), *above])
        mine = (since_ns, device.user, device.device)
        await self._write("claim", since_ns // US, since_ns, push.provider, push.token, device.user, device.device)
        for user, other, since, written in await self._session.read("claims", (push.provider, push.token)):
            if user != device.user and (since, user, other) < mine:
                await self._retire(f"{push.provider} {push.token}", user, other)
                await self._write("unclaim", written, push.provider, push.token, user, other)

    async def _retire(self, dead: str, user: int, device: int) -> None:
        await self._write("retire", await self._after(user, device), dead, user, device)

    async def _after(self, user: int, device: int) -> int:
        return await after(self._session, "written", (user, device), wall_clock_ns=self._wall_clock_ns)

    async def _write(self, name: str, *parameters: Any) -> None:
        await self._session.write(Batch(((name, parameters),)))
