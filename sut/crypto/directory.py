"""This device's knowledge of users: their account keys, their device lists, and changed account keys.

Trust on first use: the first account key that is seen of a user is believed, and shown to people as a safety number. A
different one later is not used until a person accepts it. An older list never replaces a newer one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from sut.crypto import device_list
from sut.crypto.device_list import DeviceList
from sut.crypto.errors import IdentityChanged, Malformed, Refused

MAX_USERS: Final = 20_000


class Known(msgspec.Struct):
    """One user as saved. The lists are kept as received, with their signatures."""

    current: bytes
    changed: bytes | None = None
    """A list signed by a different account key, which no person has accepted."""
    verified: bool = False
    """True if a person has compared the safety number."""


class Directory:
    """The users that this device knows."""

    def __init__(self, known: dict[int, Known] | None = None) -> None:
        """`known`: the saved users. Raises Malformed, Refused."""
        self.known = known or {}
        self._lists = {user: device_list.parse(entry.current) for user, entry in self.known.items()}

    def learn(self, user: int, data: bytes) -> DeviceList:
        """Take a user's list from the service. Returns the newest list. Raises Malformed, Refused.

        Raises IdentityChanged when the known account key did not sign it.
        """
        found = device_list.parse(data)
        if found.user != user:
            raise Refused(f"device list: asked for user {user}, got that of user {found.user}")
        entry, now = self.known.get(user), self._lists.get(user)
        if entry is None or now is None:
            if len(self.known) >= MAX_USERS:
                raise Malformed(f"{MAX_USERS} users are known already")
            self.known[user], self._lists[user] = Known(data), found
            return found
        if found.account_key != now.account_key:
            entry.changed = data
            raise IdentityChanged(user)
        if found.version > now.version:
            entry.current, self._lists[user] = data, found
        return self._lists[user]

    def accept(self, user: int) -> None:
        """Make the changed account key the known one, not verified; a person has accepted it."""
        entry = self.known[user]
        if entry.changed is not None:
            self._lists[user] = device_list.parse(entry.changed)
            self.known[user] = Known(entry.changed)

    def verify(self, user: int) -> None:
        """Note that a person has compared the safety number, and it was the same."""
        self.known[user].verified = True

    def lists(self, user: int) -> DeviceList | None:
        """Return the newest list signed by the known account key; None for an unknown user."""
        return self._lists.get(user)

    def devices(self, user: int) -> Mapping[int, bytes]:
        """Return identity keys by device; empty for an unknown user. Raises IdentityChanged."""
        entry = self.known.get(user)
        if entry is None:
            return {}
        if entry.changed is not None:
            raise IdentityChanged(user)
        return self._lists[user].keys
