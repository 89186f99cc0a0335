"""Who came into which conversation just now: what a SYNC must know although the store does not have it yet.

The store is written behind. A change of members stays here until it is stored, and for KEPT_S after that, so that
whoever read the store a moment before the write, and asks here a moment after it, finds the change all the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from typing import Final

KEPT_S: Final = 5.0
MAX_KEPT: Final = 100_000
"""Changes that are stored; of more, the oldest go."""


class Fresh:
    """Of one partition. Pure: time is handed in."""

    def __init__(self) -> None:
        self._unstored: deque[tuple[int, int, int]] = deque()
        """(log offset, user, conversation), in the order of the log."""
        self._stored: deque[tuple[float, int, int]] = deque()
        """(when it may go, user, conversation)."""
        self._of_user: defaultdict[int, Counter[int]] = defaultdict(Counter)

    def __len__(self) -> int:
        return len(self._unstored) + len(self._stored)

    def changed(self, offset: int, conv: int, users: Iterable[int]) -> None:
        """The record at this offset brought these users into the conversation, or took them out."""
        for user in users:
            self._unstored.append((offset, user, conv))
            self._of_user[user][conv] += 1

    def stored(self, offset: int, now_s: float) -> None:
        """The store has all up to this offset."""
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
        """Conversations whose store may not say yet whether this user is in them."""
        return tuple(self._of_user[user]) if user in self._of_user else ()
