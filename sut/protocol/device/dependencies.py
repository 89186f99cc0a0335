"""What a device has shown, and so what its next message in a conversation has to name. Pure bookkeeping.

Only what was shown since this device's last message in that conversation is named: who shows the new message has shown
that one, and waited for what it named. The argument fails for a message that may never be there, so only acknowledged
ones count; and for somebody who joined in between. So after an addition everything is named again; and because an
addition may not be known yet, whatever was shown in the last RECENT_S is named always, where somebody can be added.
"""

from __future__ import annotations

from typing import Final

from sut.protocol.causal import CHANGED, CHANGED_S, MAX_DEPENDENCIES, Causality, Dependency

RECENT_S: Final = 600.0
"""Somebody who was added while a sender did not know it, and is further behind than that, may see an answer first."""


class Shown:
    """Of one device."""

    __slots__ = ("_acked", "_causality", "_changed", "_count", "_latest", "_numbers", "_pending")

    def __init__(self, causality: Causality) -> None:
        self._causality = causality
        self._latest: dict[int, tuple[int, int, float]] = {}
        """Conversation -> (last message shown, how many had been shown then, when that was), the latest at the end."""
        self._count = 0
        self._numbers: dict[int, int] = {}
        """Conversation -> last number on the screen, membership changes included."""
        self._pending: dict[int, int] = {}
        """Conversation -> how many had been shown when the message was made that has no number yet."""
        self._acked: dict[int, int] = {}
        """The same of the last one that has a number."""
        self._changed: dict[int, dict[int, float]] = {}
        """Conversation -> who came to it lately (0: nobody knows who), and until when that counts as lately."""

    def message(self, conv: int, seq: int, now: float) -> None:
        """One is on the screen."""
        self._number(conv, seq, now)
        self._latest.pop(conv, None)
        self._count += 1
        self._latest[conv] = (seq, self._count, now)

    def resumed(self, conv: int, seq: int, now: float) -> None:
        """An earlier run of the program had shown up to here."""
        self._count += 1
        self._latest[conv] = (seq, self._count, now)
        self._numbers[conv] = seq

    def rewind(self, conv: int, head: int) -> None:
        """The service has nothing above `head`: nobody can wait for what was shown beyond it."""
        if conv in self._latest:
            _seq, count, at = self._latest[conv]
            self._latest[conv] = (head, count, at)
        self._numbers[conv] = head

    def change(self, conv: int, seq: int, now: float, *, added: int = 0) -> None:
        """A membership change is on the screen; somebody may be new there."""
        self._number(conv, seq, now)
        if added:
            self._added(conv, added, now)

    def _number(self, conv: int, seq: int, now: float) -> None:
        """Numbers that were passed over are of a time when this user was not there: whoever came then is not known."""
        last = self._numbers.get(conv, 0)
        self._numbers[conv] = seq
        if seq != last + 1 or (not last and not self._causality.member_of(conv)):
            self._added(conv, 0, now)

    def _added(self, conv: int, user: int, now: float) -> None:
        self._changed.setdefault(conv, {})[user] = now + CHANGED_S
        self._acked.pop(conv, None)
        self._pending.pop(conv, None)

    def settled(self, conv: int, *, acked: bool) -> None:
        """This device's message there has its number, or is given up."""
        made = self._pending.pop(conv, None)
        if acked and made is not None:
            self._acked[conv] = made

    def dependencies(self, conv: int, now: float) -> tuple[Dependency, ...]:
        """What a message made now for this conversation has to name, the latest first."""
        since = self._acked.get(conv, 0)
        recent = now - RECENT_S if self._causality.grows(conv) else now
        self._pending[conv] = self._count
        found: list[Dependency] = []
        for other, (seq, count, at) in reversed(self._latest.items()):
            if (count <= since and at <= recent) or len(found) == MAX_DEPENDENCIES:
                break
            if other != conv and self._causality.shared(conv, other):
                found.append(Dependency(other, seq, CHANGED if self._has_changed(other, conv, now) else 0))
        return tuple(found)

    def _has_changed(self, named: int, conv: int, now: float) -> bool:
        """Whether a reader of `conv` may not know of `named` yet, though a member."""
        new = self._changed.get(named)
        if new is None:
            return False
        for user in [user for user, until in new.items() if until <= now]:
            del new[user]
        if not new:
            del self._changed[named]
        return any(not user or self._causality.may_be_in(user, conv) for user in new)
