"""Records what a device has shown, and computes what its next message in a conversation must name. Pure.

A message names only what was shown since this device's last message in the conversation. A recipient has shown that
message first, and waited for its dependencies. This fails if the earlier message may never appear, so only acknowledged
messages count. It also fails for a member who joined in between. So after an addition everything is named again. An
addition may not be known yet, so what was shown in the last RECENT_S is always named where members can be added.
"""

from __future__ import annotations

from typing import Final

from sut.protocol.causal import CHANGED, CHANGED_S, MAX_DEPENDENCIES, Causality, Dependency

RECENT_S: Final = 600.0
"""In seconds. A member whose addition is older than this and still unknown to a sender may see an answer too early."""


class Shown:
    """The messages that one device has shown."""

    __slots__ = ("_acked", "_causality", "_changed", "_count", "_latest", "_numbers", "_pending")

    def __init__(self, causality: Causality) -> None:
        self._causality = causality
        self._latest: dict[int, tuple[int, int, float]] = {}
        """Conversation -> (last message shown, number of messages shown by then, when), the latest at the end."""
        self._count = 0
        self._numbers: dict[int, int] = {}
        """Conversation -> the last sequence number on the screen, membership changes included."""
        self._pending: dict[int, int] = {}
        """Conversation -> the number of messages shown when its unnumbered message was made."""
        self._acked: dict[int, int] = {}
        """Conversation -> the number of messages shown when its last numbered message was made."""
        self._changed: dict[int, dict[int, float]] = {}
        """Conversation -> user who joined lately (0: unknown) -> until when that counts as lately."""

    def message(self, conv: int, seq: int, now: float) -> None:
        """Note a message that is on the screen now."""
        self._number(conv, seq, now)
        self._latest.pop(conv, None)
        self._count += 1
        self._latest[conv] = (seq, self._count, now)

    def resumed(self, conv: int, seq: int, now: float) -> None:
        """Note that an earlier run of the program had shown the conversation up to `seq`."""
        self._count += 1
        self._latest[conv] = (seq, self._count, now)
        self._numbers[conv] = seq

    def rewind(self, conv: int, head: int) -> None:
        """Lower what was shown to `head`: nobody can wait for messages that the service has lost."""
        if conv in self._latest:
            _seq, count, at = self._latest[conv]
            self._latest[conv] = (head, count, at)
        self._numbers[conv] = head

    def change(self, conv: int, seq: int, now: float, *, added: int = 0) -> None:
        """Note a membership change that is on the screen now. `added`: the new member, or 0."""
        self._number(conv, seq, now)
        if added:
            self._added(conv, added, now)

    def _number(self, conv: int, seq: int, now: float) -> None:
        """Note a sequence number. If numbers were skipped, this user was absent then, and unknown members may have
        joined.
        """
        last = self._numbers.get(conv, 0)
        self._numbers[conv] = seq
        if seq != last + 1 or (not last and not self._causality.member_of(conv)):
            self._added(conv, 0, now)

    def _added(self, conv: int, user: int, now: float) -> None:
        self._changed.setdefault(conv, {})[user] = now + CHANGED_S
        self._acked.pop(conv, None)
        self._pending.pop(conv, None)

    def settled(self, conv: int, *, acked: bool) -> None:
        """Note that this device's message there has its sequence number (`acked`), or was given up."""
        made = self._pending.pop(conv, None)
        if acked and made is not None:
            self._acked[conv] = made

    def dependencies(self, conv: int, now: float) -> tuple[Dependency, ...]:
        """Return what a message to this conversation must name if it is made now, the latest first."""
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
        """Return True if a reader of `conv` may be a member of `named` without knowing it yet."""
        new = self._changed.get(named)
        if new is None:
            return False
        for user in [user for user, until in new.items() if until <= now]:
            del new[user]
        if not new:
            del self._changed[named]
        return any(not user or self._causality.may_be_in(user, conv) for user in new)
