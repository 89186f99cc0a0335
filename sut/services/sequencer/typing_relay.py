"""Typing: tells the other online members who is writing; in a large group it tells nobody.

Typing is not logged, stored or repeated. It is dropped if the user is no member, or the conversation is not in memory.
It is also dropped if the same state was told just before, or messages fill the queue.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from sut.protocol.frames import encode
from sut.protocol.peer import TypingIn
from sut.protocol.signals import Typist, Typists
from sut.services.sequencer.live import Live
from sut.services.sequencer.notification import Notification

MAX_MEMBERS: Final = 50
"""Largest conversation with typing. In a larger one, reports of many members to all would be a storm."""
SAME_AGAIN_S: Final = 2.0
"""Seconds in which a repeated state is dropped; a device reports every 3 s at most."""
MAX_REMEMBERED: Final = 10_000


class TypingRelay:
    """Passes typing on for all partitions of a sequencer."""

    def __init__(
        self,
        *,
        live: Callable[[int], Live | None],
        offer: Callable[[Notification], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live = live
        self._offer = offer
        self._clock = clock
        self._last: OrderedDict[tuple[int, int], tuple[int, float]] = OrderedDict()
        """(conversation, user) -> the last state told, and when; the oldest first."""
        self.told = 0
        self.dropped = 0

    def take(self, frame: TypingIn) -> None:
        """Pass on a user's typing state, or drop it; the user may turn out not to be a member."""
        if self._tell(frame):
            self.told += 1
        else:
            self.dropped += 1

    def _tell(self, frame: TypingIn) -> bool:
        live = self._live(frame.conv)
        if live is None or not live.state.is_member(frame.user):
            return False
        members = live.state.members()
        if len(members) > MAX_MEMBERS:
            return False
        place, now_s, state = (frame.conv, frame.user), self._clock(), int(bool(frame.state))
        before, told_s = self._last.get(place, (0, now_s - SAME_AGAIN_S))
        if state == before and now_s - told_s < SAME_AGAIN_S:
            return False
        self._last[place] = state, now_s
        self._last.move_to_end(place)
        if len(self._last) > MAX_REMEMBERED:
            self._last.popitem(last=False)
        others = tuple(user for user in members if user != frame.user)
        word = encode(Typists((Typist(frame.conv, frame.user, state),)))
        return self._offer(Notification(word, others, 0, signal=True))
