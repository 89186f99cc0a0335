"""Receipts, typing and presence at the device: what it reports, and what it is told of other users.

Outgoing: RECV follows from what was shown (inbox.py). READ says how far the person has read, never beyond what was
shown, and no more often than RECV. Neither is answered, so both may be lost with a connection or a service. So what was
sent since the last SYNC is repeated with the next one. What an earlier run may not have sent is repeated too
(`resumed`), `max_restated` conversations at a time. Typing is sent at most every `typing_every_s`. The watched users
are sent again on each connection after its first SYNC.

Incoming: a receipt lower than an earlier one is ignored. A user has stopped typing after `typing_lasts_s` without a
report, or with a message. A presence holds until the next report or the end of the connection.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from sut.protocol.device.context import Context
from sut.protocol.device.events import Presence, Told, Unwatched, Writing
from sut.protocol.frames import Recv
from sut.protocol.signals import MAX_WATCHED, PresenceNews, Read, Receipt, Receipts, Typing, Typist, Typists, Watch

K = TypeVar("K")


class Signals:
    """The signals of one device, across its connections."""

    __slots__ = (
        "_context", "_owed", "_pictures", "_read", "_read_due", "_restate_at", "_said", "_shown", "_told", "_typed",
        "_watched", "_writing",
    )  # fmt: skip

    def __init__(self, context: Context, shown: Callable[[int], int]) -> None:
        """`shown`: returns the sequence number up to which a conversation is on the screen."""
        self._context = context
        self._shown = shown
        self._read: dict[int, int] = {}
        self._read_due: dict[int, float] = {}  # equal waits, so in the order of their times
        self._said: OrderedDict[int, None] = OrderedDict()  # conversations of RECVs and READs since the last SYNC
        self._owed: list[int] = []  # conversations of an earlier run still to be reported, the newest last
        self._restate_at = math.inf
        self._typed: dict[int, float] = {}  # conversation -> until when it need not be sent again
        self._told: dict[tuple[int, int, int], int] = {}
        self._writing: dict[tuple[int, int], float] = {}  # (conversation, user) -> until when they type, earliest first
        self._watched: dict[int, None] = {}
        self._pictures: dict[int, bool] = {}

    def resumed(self, cursors: Mapping[int, int], read: Mapping[int, int]) -> None:
        """Note what an earlier run of the program had shown and read, and may not have reported."""
        self._owed = [conv for conv, seq in cursors.items() if seq]
        self._read = {conv: min(read[conv], cursors[conv]) for conv in self._owed if read.get(conv)}

    def rewind(self, conv: int, head: int) -> None:
        """Lower the receipts above `head`: the service has lost those messages."""
        for key in [key for key, seq in self._told.items() if key[0] == conv and seq > head]:
            self._told[key] = head
        if self._read.get(conv, 0) > head:
            self._read[conv] = head

    # Actions of the person.

    def mark_read(self, conv: int, seq: int, now: float) -> None:
        """Note that the person has read everything up to `seq`, as far as it was shown."""
        seq = min(seq, self._shown(conv))
        if seq > self._read.get(conv, 0):
            self._read[conv] = seq
            self._read_due.setdefault(conv, now + self._context.settings.recv_every_s)

    def typing(self, conv: int, now: float, *, is_open: bool) -> None:
        """Report that the person is typing in the conversation."""
        if is_open and now >= self._typed.get(conv, -math.inf):
            self._typed = {other: until for other, until in self._typed.items() if until > now}
            self._typed[conv] = now + self._context.settings.typing_every_s
            self._context.tell(Typing(conv, 1))

    def stop_typing(self, conv: int, now: float, *, is_open: bool) -> None:
        """Report that the person has stopped typing. After a sent message no report is needed."""
        if self._typed.pop(conv, -math.inf) > now and is_open:
            self._context.tell(Typing(conv, 0))

    def sent(self, conv: int) -> None:
        """Allow a new typing report: a message was sent."""
        self._typed.pop(conv, None)

    def watch(self, users: Iterable[int], *, is_open: bool) -> None:
        """Watch these users and no others. Raises ValueError for more than MAX_WATCHED."""
        wanted = dict.fromkeys(users)
        if len(wanted) > MAX_WATCHED:
            raise ValueError(f"{len(wanted)} users to watch; {MAX_WATCHED} are allowed")
        if wanted.keys() == self._watched.keys():
            return
        self._end_pictures(self._watched.keys() - wanted.keys())
        self._watched = wanted
        if is_open:
            self._context.tell(Watch(tuple(wanted)))

    # Events of the connection.

    def opened(self) -> None:
        """Send the watched users: the device is online on a new connection."""
        if self._watched:
            self._context.tell(Watch(tuple(self._watched)))

    def closed(self) -> None:
        """End all presences and typists: without a connection, changes are not reported."""
        self._end_pictures(list(self._pictures))
        for conv, user in self._writing:
            self._context.events.append(Writing(conv, user, active=False))
        self._writing.clear()
        self._typed.clear()
        self._restate_at = math.inf

    def said(self, conv: int) -> None:
        """Note that a RECV or READ of this conversation was sent."""
        self._said[conv] = None
        self._said.move_to_end(conv)
        if len(self._said) > self._context.settings.max_restated:
            self._said.popitem(last=False)

    def synced(self, now: float) -> None:
        """Schedule a repetition of the reports since the last SYNC, which may be lost: a SYNC was sent."""
        if self._said or self._owed:
            self._restate_at = now + self._context.rng.uniform(0.5, 2.0) * self._context.settings.recv_every_s

    def due(self) -> float:
        """Return when tick() has work to do while the connection is open."""
        writing = next(iter(self._writing.values()), math.inf)
        return min(next(iter(self._read_due.values()), math.inf), self._restate_at, writing)

    def tick(self, now: float) -> None:
        """Send what is due, and drop users who have stopped typing. Only while the connection is open."""
        if self._restate_at <= now:
            self._restate_at = math.inf
            said, self._said = dict.fromkeys(self._said), OrderedDict()
            for _ in range(min(len(self._owed), self._context.settings.max_restated - len(said))):
                said[self._owed.pop()] = None
            self.synced(now)  # if there is more
            for conv in said:
                self._context.tell(Recv(conv, self._shown(conv)))
                if conv in self._read:
                    self._context.tell(Read(conv, self._read[conv]))
        for conv in _until(self._read_due, now):
            del self._read_due[conv]
            self._context.tell(Read(conv, self._read[conv]))
            self.said(conv)
        for conv, user in _until(self._writing, now):
            self._stopped(conv, user)

    # Reports from the gateway.

    def receive(self, frame: Receipts | Typists | PresenceNews, now: float) -> None:
        """Take a frame, and emit events for what is new."""
        match frame:
            case Receipts(receipts):
                for receipt in receipts:
                    self._receipt(receipt)
            case Typists(typists):
                for typist in typists:
                    self._typist(typist, now)
            case PresenceNews(news):
                for user, state, last_seen_ms in news:
                    if user in self._watched and self._pictures.get(user) != bool(state):
                        self._pictures[user] = bool(state)
                        self._context.events.append(Presence(user, bool(state), last_seen_ms))

    def _receipt(self, receipt: Receipt) -> None:
        conv, seq, kind, by = receipt
        key = conv, by, kind
        known = self._told.get(key)
        if known is None and len(self._told) >= self._context.settings.max_signals:
            return
        if seq > (known or 0):
            self._told[key] = seq
            self._context.events.append(Told(conv, seq, kind, by))

    def _typist(self, typist: Typist, now: float) -> None:
        conv, user, state = typist
        key = conv, user
        if not state:
            self._stopped(conv, user)
            return
        if self._writing.pop(key, None) is None:
            if len(self._writing) >= self._context.settings.max_signals // 16:
                return
            self._context.events.append(Writing(conv, user, active=True))
        self._writing[key] = now + self._context.settings.typing_lasts_s

    def arrived(self, conv: int, user: int) -> None:
        """Note a message of this user: they have stopped typing it."""
        if self._writing:
            self._stopped(conv, user)

    def _stopped(self, conv: int, user: int) -> None:
        if self._writing.pop((conv, user), None) is not None:
            self._context.events.append(Writing(conv, user, active=False))

    def _end_pictures(self, users: Iterable[int]) -> None:
        for user in users:
            if self._pictures.pop(user, None) is not None:
                self._context.events.append(Unwatched(user))


def _until(times: dict[K, float], now: float) -> list[K]:
    """Return the keys whose time has come, from a dict in the order of its times."""
    due = []
    for key, at in times.items():
        if at > now:
            break
        due.append(key)
    return due
