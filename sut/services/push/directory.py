"""The devices of users, with a short cache: a busy conversation asks for the same devices repeatedly."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sut.ports import Devices, RegisteredDevice

FRESH_S: Final = 2.0
"""The longest time in seconds until a new device, push token or revocation is noticed."""
MAX_USERS: Final = 100_000
AT_ONCE: Final = 500


class Directory:
    """Devices by user, through a cache."""

    def __init__(self, devices: Devices, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._devices = devices
        self._clock = clock
        self._known: OrderedDict[int, tuple[float, tuple[RegisteredDevice, ...]]] = OrderedDict()

    async def devices_of(self, users: Iterable[int]) -> Mapping[int, tuple[RegisteredDevice, ...]]:
        """Return the users' devices that are not revoked; at most FRESH_S old. Raises Unavailable."""
        now_s = self._clock()
        found: dict[int, tuple[RegisteredDevice, ...]] = {}
        missing: list[int] = []
        for user in users:
            until_s, devices = self._known.get(user, (0.0, ()))
            if until_s > now_s:
                found[user] = devices
            else:
                missing.append(user)
        for start in range(0, len(missing), AT_ONCE):
            part = missing[start : start + AT_ONCE]
            asked = await self._devices.devices_of(part)
            for user in part:
                found[user] = asked.get(user, ())
                self._known[user] = (now_s + FRESH_S, found[user])
                self._known.move_to_end(user)
        while len(self._known) > MAX_USERS:
            self._known.popitem(last=False)
        return found

    async def retire(self, device: RegisteredDevice) -> None:
        """Delete the device's dead push token. Raises Unavailable."""
        await self._devices.retire(device)
        self._known.pop(device.user, None)
