"""Holds messages back until their dependencies were shown: causal order across conversations, on the receiving device.

Messages come here in the order of their conversation. A message that names an unshown message of another conversation
waits, and so do the messages behind it. A FETCH for the other conversation goes out at once. A wait ends when
- the dependency was shown here, or passed over;
- the conversation is not this user's. The user's conversations are known after the first certain SYNC of a connection.
  For a conversation that has just changed (CHANGED), another SYNC is sent. The conversation is never fetched before:
  the service disconnects a user who never was a member;
- pages and then a SYNC say that there is nothing more to see, for example for a removed member;
- it has taken `hold_s` of one connection, or `hold_connections` have come and gone. Then the message is shown out of
  order, and marked as incomplete. Time asleep does not count: from one look at the clock to the next at most LOOK_S is
  added. Time in which the service answers nothing counts a quarter: nothing can arrive then, and the connection may be
  dead.
Waits cannot form a circle: a sender names only what it had shown before. If a sender lies, the time
limit ends the wait.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from sut.protocol.causal import CHANGED, Causality, Dependency
from sut.protocol.device.context import Context
from sut.protocol.device.dependencies import Shown
from sut.protocol.device.events import HeldBack
from sut.protocol.device.inbox import MEMBERSHIP, Inbox
from sut.protocol.device.sync import Syncs
from sut.protocol.frames import Flag, Message

_ANY_CHAIN: Final = 1  # any certain SYNC of this connection
_ROUNDING_S: Final = 1e-6
_SILENT_SHARE: Final = 0.25
_SHORTEST_LOOK_S: Final = 0.05
LOOK_S: Final = 1.0
"""Seconds between looks at the clock while a message is held back."""


class _Need:
    __slots__ = ("chain", "claimed", "conv", "seq")

    def __init__(self, conv: int, seq: int, chain: int) -> None:
        self.conv = conv
        self.seq = seq
        self.chain = chain  # 0: it is this user's. Otherwise the SYNC with this or a later number decides
        self.claimed = False


class _Kept(NamedTuple):
    message: Message
    at: float
    """The time of arrival."""
    awake_at: float
    """The time of arrival by a clock that stops while the program sleeps, and is slow while the service is silent."""
    needs: list[_Need]


class _Hold:
    __slots__ = ("chances", "queue", "shown")

    def __init__(self, chances: int, shown: int) -> None:
        self.queue: deque[_Kept] = deque()  # never empty while the hold exists
        self.shown = shown  # the conversation is on the screen up to here
        self.chances = chances


class Gate:
    """The gate between the inbox and the screen of one device."""

    __slots__ = (
        "_awake_s", "_causality", "_context", "_cursors", "_ended", "_fetch", "_held", "_inbox", "_looked_at", "_moved",
        "_opened_at", "_size", "_sure", "_sync", "_syncs", "_waiting", "memory",
    )  # fmt: skip

    def __init__(
        self,
        context: Context,
        inbox: Inbox,
        syncs: Syncs,
        causality: Causality,
        *,
        fetch: Callable[[int, int, float], None],
        sync: Callable[[float], None],
    ) -> None:
        """`fetch` takes a conversation of this user and a sequence number that it has reached; `sync` starts a SYNC."""
        self._context = context
        self._inbox = inbox
        self._cursors = inbox.cursors
        self._syncs = syncs
        self._causality = causality
        self._fetch = fetch
        self._sync = sync
        self.memory = Shown(causality)
        self._held: dict[int, _Hold] = {}
        self._size = 0
        self._waiting: dict[int, set[int]] = {}  # conversation -> the held conversations that wait for it
        self._moved: list[int] = []  # conversations whose waiters must be checked again
        self._ended: set[int] = set()  # no more to see for this user, until a frame names it
        self._awake_s = 0.0
        self._looked_at = 0.0
        self._opened_at = 0.0  # by _awake_s
        self._sure = 0  # the last SYNC of this connection with certain answers

    @property
    def holding(self) -> bool:
        """True while a message is held back."""
        return bool(self._held)

    def shown(self, conv: int) -> int:
        """Return the sequence number up to which the conversation is on the screen."""
        hold = self._held.get(conv)
        return self._cursors.get(conv, 0) if hold is None else hold.shown

    def arrived(self, message: Message, now: float) -> None:
        """Show the next message of its conversation, or hold it back."""
        conv, settings = message.conv, self._context.settings
        needs = self._needs(message)
        hold = self._held.get(conv)
        if hold is None:
            if not needs:
                self._display(message, now)
                return
            hold = self._held[conv] = _Hold(settings.hold_connections, message.seq - 1)
            self._register(conv, needs)
            self._inbox.report(conv, now)
        self._look(now)
        hold.queue.append(_Kept(message, now, self._awake_s, needs))
        self._size += 1
        self._ask(needs, now)
        if self._size > settings.max_held:
            while conv in self._held:
                self._release(conv, now, late=True)

    def passed(self, conv: int, now: float) -> None:
        """Note that the inbox has the conversation up to its cursor. Called after the messages up to there."""
        if conv not in self._held:
            self._inbox.report(conv, now)
        self._move(conv)  # a part of a page may be shown, and the rest held back
        self._settle(now)

    def rewind(self, conv: int, head: int) -> None:
        """Drop the held messages above `head`: the service has lost them."""
        self.memory.rewind(conv, head)
        hold = self._held.get(conv)
        if hold is not None:
            kept = deque(one for one in hold.queue if one.message.seq <= head)
            self._size -= len(hold.queue) - len(kept)
            if not kept:
                self._unregister(conv, hold.queue[0].needs)
                del self._held[conv]
            hold.queue = kept

    def heard_of(self, conv: int) -> None:
        """Note that a frame names the conversation: this user has something to see there."""
        if self._ended:
            self._ended.discard(conv)

    def ended(self, convs: Iterable[int], now: float) -> None:
        """Note that pages and a SYNC agree: there is nothing more to see in these conversations."""
        for conv in convs:
            self._ended.add(conv)
            self._move(conv)
        self._settle(now)

    def synced(self, now: float) -> None:
        """Note a SYNC with certain answers: all conversations that were this user's at its start are known."""
        self._sure = self._syncs.started
        for hold in self._held.values():
            for kept in hold.queue:
                self._ask(kept.needs, now)
        self._moved.extend(self._waiting)
        self._settle(now)

    def open(self, now: float) -> None:
        """Restart the time limits of the held messages: WELCOME arrived."""
        self._look(now)
        self._opened_at = self._awake_s
        for hold in self._held.values():
            hold.chances -= 1

    def close(self) -> None:
        """Note that the connection ended. Held messages stay."""
        self._sure = 0

    def due(self) -> float:
        """Return when tick() has work to do. Only while the connection is open."""
        if not self._held:
            return math.inf
        left_s = min(map(self._deadline, self._held.values())) - self._awake_s
        return self._looked_at + min(LOOK_S, max(_SHORTEST_LOOK_S, left_s))

    def tick(self, now: float) -> None:
        """Show the messages that have waited too long. Only while the connection is open."""
        self._look(now)
        until = self._awake_s + _ROUNDING_S
        while late := [conv for conv, hold in self._held.items() if self._deadline(hold) <= until]:
            for conv in late:
                self._release(conv, now, late=True)
            self._settle(now)

    def _look(self, now: float) -> None:
        silent = self._context.question_at <= self._looked_at
        self._awake_s += min(LOOK_S, now - self._looked_at) * (_SILENT_SHARE if silent else 1.0)
        self._looked_at = now

    def _deadline(self, hold: _Hold) -> float:
        if hold.chances <= 0:
            return self._opened_at
        return max(hold.queue[0].awake_at, self._opened_at) + self._context.settings.hold_s

    def _needs(self, message: Message) -> list[_Need]:
        """Return what a message must wait for before it is shown."""
        if message.flags & MEMBERSHIP:
            return []
        named = map(self._need, self._causality.named_by(message))
        return [need for need in named if need.conv != message.conv and self._is_open(need)]

    def _need(self, dependency: Dependency) -> _Need:
        conv, seq, flags = dependency
        if self._is_ours(conv):
            return _Need(conv, seq, 0)
        return _Need(conv, seq, self._syncs.started + 1 if flags & CHANGED else _ANY_CHAIN)

    def _is_ours(self, conv: int) -> bool:
        """Return True if, as far as is known, the user is a member there and may have more to see."""
        return conv not in self._ended and (conv in self._cursors or self._causality.member_of(conv))

    def _is_open(self, need: _Need) -> bool:
        conv = need.conv
        if self.shown(conv) >= need.seq:
            return False
        return conv in self._held or self._is_ours(conv) or self._sure < need.chain

    def _ask(self, needs: Iterable[_Need], now: float) -> None:
        """Request the messages that are waited for."""
        for need in needs:
            if self._is_ours(need.conv):
                if not need.claimed:
                    need.claimed = True
                    self._fetch(need.conv, need.seq, now)
            elif self._syncs.started < need.chain:
                self._sync(now)

    def _move(self, conv: int) -> None:
        if conv in self._waiting:
            self._moved.append(conv)

    def _settle(self, now: float) -> None:
        """Check the waiters of everything that has moved, and repeat for what that moves."""
        while self._moved:
            for conv in tuple(self._waiting.get(self._moved.pop(), ())):
                if not self._waits(self._held[conv]):
                    self._release(conv, now, late=False)

    def _waits(self, hold: _Hold) -> bool:
        return any(map(self._is_open, hold.queue[0].needs))

    def _release(self, conv: int, now: float, *, late: bool) -> None:
        """Show the first held message of the conversation, and the messages behind it that need not wait."""
        hold = self._held[conv]
        queue = hold.queue
        while True:
            incomplete = late and self._waits(hold)
            message, at, _, needs = queue.popleft()
            self._unregister(conv, needs)
            self._size -= 1
            self._context.events.append(HeldBack(conv, message.seq, now - at, late))
            self._display(message, now, incomplete=incomplete)
            if not queue:
                del self._held[conv]
                break
            hold.shown = queue[0].message.seq - 1
            if self._waits(hold):
                self._register(conv, queue[0].needs)
                break
            late = False
        self._inbox.report(conv, now)
        self._move(conv)

    def _register(self, conv: int, needs: Iterable[_Need]) -> None:
        """Note that the first held message of the conversation waits for these needs."""
        for need in needs:
            self._waiting.setdefault(need.conv, set()).add(conv)

    def _unregister(self, conv: int, needs: Iterable[_Need]) -> None:
        for need in needs:
            waiters = self._waiting.get(need.conv)
            if waiters is not None:
                waiters.discard(conv)
                if not waiters:
                    del self._waiting[need.conv]

    def _display(self, message: Message, now: float, *, incomplete: bool = False) -> None:
        if message.flags & MEMBERSHIP:
            added = message.user if message.flags & Flag.MEMBER_ADD else 0
            self.memory.change(message.conv, message.seq, now, added=added)
        else:
            self.memory.message(message.conv, message.seq, now)
        self._inbox.emit(message, incomplete=incomplete)
