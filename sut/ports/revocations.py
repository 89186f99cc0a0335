"""The list of devices whose tokens were revoked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Revocation(msgspec.Struct, frozen=True, array_like=True):
    """A device of a user whose tokens of logins up to `at_s` are void. All have expired at `until_s`. Unix seconds."""

    user: int
    device: int
    at_s: int
    until_s: int


class RevocationPage(msgspec.Struct, frozen=True, array_like=True):
    """A page of the list. `position`: where the next page begins. `more`: it can be read at once."""

    position: int
    more: bool
    revocations: tuple[Revocation, ...]


class Revocations(Protocol):
    """The list of revoked devices. It may lose entries when its server does; those who know them put them back."""

    @property
    def generation(self) -> int:
        """Rises when entries may have been lost."""

    async def revoke(self, revocations: Sequence[Revocation], *, now_s: int, always: bool = False) -> None:
        """Add these; of two for the same device the later holds.

        Raises Unavailable, also when the list is full, unless `always`.
        """

    async def since(self, position: int) -> RevocationPage:
        """Entries added after a page's position; 0 for all. A position that the list never reached counts as 0."""
