"""What this device remembers of users: their account keys and device lists, and that a key is not what it was.

Trust on first use: the first account key that is seen of a user is believed, and shown to people as a safety number.
Another one later is believed by nobody until somebody accepts it, and an older list never replaces a newer one.
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
    """Of one user, as it is saved. Lists are as they came, signature included."""

    current: bytes
    changed: bytes | None = None
    """A list of another account key, that nobody has accepted."""
    verified: bool = False
    """Somebody compared the safety number."""


class Directory:
    """The users that this device knows."""

    def __init__(self, known: dict[int, Known] | None = None) -> None:
        """`known`: what was saved. Raises Malformed, Refused."""
        self.known = known or {}
        self._lists = {user: device_list.parse(entry.current) for user, entry in self.known.items()}

    def learn(self, user: int, data: bytes) -> DeviceList:
        """The service says that this is a user's list. Returns the newest one. Raises Malformed, Refused, and
        IdentityChanged when it is not of the account key that is known.
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
        """Somebody accepts the changed account key: from now on it is the known one, not verified."""
        entry = self.known[user]
        if entry.changed is not None:
            self._lists[user] = device_list.parse(entry.changed)
            self.known[user] = Known(entry.changed)

    def verify(self, user: int) -> None:
        """Somebody compared the safety number, and it was the same."""
        self.known[user].verified = True

    def lists(self, user: int) -> DeviceList | None:
        """The list in force."""
        return self._lists.get(user)

    def devices(self, user: int) -> Mapping[int, bytes]:
        """Identity keys by device; empty for a user that is not known. Raises IdentityChanged."""
        entry = self.known.get(user)
        if entry is None:
            return {}
        if entry.changed is not None:
            raise IdentityChanged(user)
        return self._lists[user].keys
