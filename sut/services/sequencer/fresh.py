"""Recent changes of members, which a SYNC must see although the store does not have them yet.

The store is written behind the log. A change of members stays here until it is stored, and for KEPT_S after that. So a
reader that read the store just before the write, and asks here just after it, still finds the change.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from typing import Final

KEPT_S: Final = 5.0
MAX_KEPT: Final = 100_000
"""The number of stored changes that are kept. Beyond it the oldest are dropped."""


class Fresh:
    """The recent changes of one partition. Pure: time is an argument."""

    def __init__(self) -> None:
        self._unstored: deque[tuple[int, int, int]] = deque()
        """(log offset, user, conversation), in the order of the log."""
        self._stored: deque[tuple[float, int, int]] = deque()
        """(when it may be dropped, user, conversation)."""
        self._of_user: defaultdict[int, Counter[int]] = defaultdict(Counter)

    def __len__(self) -> int:
        return len(self._unstored) + len(self._stored)

    def changed(self, offset: int, conv: int, users: Iterable[int]) -> None:
        """Note that the record at this offset added these users to the conversation, or removed them."""
        for user in users:
            self._unstored.append((offset, user, conv))
            self._of_user[user][conv] += 1

    def stored(self, offset: int, now_s: float) -> None:
        """Note that the store has everything up to this offset."""
        while self._unstored and self._unstored[0][0] <= offset:
            _, user, conv = self._unstored.popleft()
            self._stored.append((now_s + KEPT_S, user, conv))
        while self._stored and (self._stored[0][0] <= now_s or len(self._stored) > MAX_KEPT):
            _, user, conv = self._stored.popleft()
            of_user = self._of_user[user]
            of_user[conv] -= 1
            if not of_user[conv]:
                del of_user[conv]
                if not of_user:
                    del self._of_user[user]

    def of(self, user: int) -> tuple[int, ...]:
        """Return the conversations in which the store may not know yet whether this user is a member."""
        return tuple(self._of_user[user]) if user in self._of_user else ()
