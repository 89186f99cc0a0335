"""Which devices' tokens were taken back."""

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
    """Some of the list. `position`: where to go on; `more`: at once."""

    position: int
    more: bool
    revocations: tuple[Revocation, ...]


class Revocations(Protocol):
    """The list of revoked devices. May lose entries when its server does: whoever knows them puts them back."""

    @property
    def generation(self) -> int:
        """Rises when entries may have been lost."""

    async def revoke(self, revocations: Sequence[Revocation], *, now_s: int, always: bool = False) -> None:
        """Put these in; of two for the same device the later holds. Unavailable also when the list is full, unless
        `always`.
        """

    async def since(self, position: int) -> RevocationPage:
        """What was put in after a page's position; 0 for all. A position that the list never reached counts as 0."""
