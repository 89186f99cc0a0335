"""Who may be put into groups, by whom and how often: the one place that a request to create a group or to add passes.

A user may refuse to be added at all. Additions are bounded for each pair of users, and for each user who is added.
The rule of the log (sequencer/rule.py) decides about members and roles. A user's own setting is not in that log: it is
asked here, before a record is made, and holds for every request that begins after the setting was answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

from sut.ports import Devices
from sut.services.api.allowance import Allowance
from sut.services.api.control import Denied
from sut.services.api.errors import ProblemError
from sut.services.api.history import Conversations
from sut.services.api.model import Settings

GROUPS_BURST, GROUPS_PER_S = 200, 0.5
"""Groups that one user makes, repetitions included."""
ADDITIONS_BURST, ADDITIONS_PER_S = 60, 0.1
"""Times that one user puts the same other user into a group, repetitions included."""
VICTIM_BURST, VICTIM_PER_S = 300, 0.5
"""Times that all users together put the same user into a group, repetitions included."""
REFUSED: Final = "user {user} does not want to be added to groups"


class Additions:
    """The limits and refusals of one API process."""

    def __init__(
        self, devices: Devices, conversations: Conversations, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._devices = devices
        self._conversations = conversations
        self._clock = clock
        self._groups = Allowance(burst=GROUPS_BURST, per_s=GROUPS_PER_S)
        self._pairs = Allowance(burst=ADDITIONS_BURST, per_s=ADDITIONS_PER_S)
        self._victims = Allowance(burst=VICTIM_BURST, per_s=VICTIM_PER_S)

    async def check_group(self, conv: int, creator: int, others: Collection[int]) -> None:
        """Raise ProblemError: 429 too many groups or additions, 403 somebody refuses. Raises Unavailable."""
        if not self._groups.take(creator, self._clock()):
            raise ProblemError(429, "too many groups; wait two seconds for each")
        for user in others:
            self._count(creator, user)
        await self.check_willing([(conv, creator, others)])

    async def check(self, conv: int, by: int, users: Collection[int]) -> None:
        """Raise ProblemError: 429 too many additions, 403 somebody refuses. Raises Unavailable.

        Whoever is in the group already is not refused: the request is then the repetition of one that was carried out.
        """
        for user in users:
            self._count(by, user)
        refusing = await self._devices.refusing(sorted(users))
        if refusing and (away := refusing - await self._members(conv, by)):
            raise ProblemError(403, REFUSED.format(user=min(away)))

    async def check_willing(self, groups: Sequence[tuple[int, int, Collection[int]]]) -> None:
        """Raise ProblemError 403 if a user refuses to be in one of these new groups. Raises Unavailable.

        A group: its id, who creates it, and the others. No number of additions is too many here. A group that is there
        is no new one: the request puts nobody into it, whoever has left it since.
        """
        refusing = await self._devices.refusing(sorted({user for _, _, users in groups for user in users}))
        for conv, creator, users in groups if refusing else ():
            concerned = refusing.intersection(users)
            if concerned and not await self._is_made(conv, creator):
                raise ProblemError(403, REFUSED.format(user=min(concerned)))

    def _count(self, by: int, user: int) -> None:
        now_s = self._clock()
        if not self._pairs.take((by, user), now_s):
            raise ProblemError(429, f"you have added user {user} to too many groups; wait ten seconds for each")
        if not self._victims.take(user, now_s):
            raise ProblemError(429, f"user {user} was added to too many groups; wait two seconds for each")

    async def _members(self, conv: int, by: int) -> set[int]:
        try:
            found = await self._conversations.members(conv, by)
        except Denied:
            return set()
        return {member.user for member in found.members}

    async def _is_made(self, conv: int, creator: int) -> bool:
        try:
            await self._conversations.messages(conv, creator, before=1, limit=1)
        except Denied:
            return False
        return True

    async def settings(self, user: int) -> Settings:
        """Return the user's settings. Raises Unavailable."""
        return Settings("nobody" if await self._devices.refusing([user]) else "anybody")

    async def change(self, user: int, wanted: Settings) -> Settings:
        """Set the user's settings. Raises Unavailable."""
        await self._devices.set_refusing(user, refuses=wanted.added_by == "nobody")
        return wanted
