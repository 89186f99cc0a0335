"""The notifications of the last seconds, and the connections that each was sent to. Pure, bounded.

The registry may show too few routes for a time (docs/architecture.md says when). Nobody knows then whose route was
missing. So the gateways announce all their routes, and each connection is sent what its user was told meanwhile and the
connection was not. Where too much was sent to be remembered, `reaches` says so, and all devices are told to SYNC.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Final

from sut.protocol.peer import Announce
from sut.services.sequencer.notification import Notification

KEEP_S: Final = 40.0
"""A lease that was lost is noticed within seconds. So is a stop of a gateway, unless it lasts longer than this."""
MAX_USERS: Final = 100_000
"""Users of all notifications that are kept, counted once for each."""
MAX_BYTES: Final = 16 << 20
"""Bytes of the frames that are kept."""
INDEX_S: Final = 5.0
"""The index by user is kept for so long after its last use: it is needed only while gateways announce."""

Conns = dict[tuple[str, int], list[int]]
"""(node, incarnation) of a gateway -> connections there."""


@dataclass(slots=True)
class _Sent:
    number: int
    at_s: float
    item: Notification
    told: Conns


class Recent:
    """What one sequencer has sent. Times are in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._sent: deque[_Sent] = deque()
        self._users = self._bytes = self._number = 0
        self._forgotten_s = -math.inf
        """When the newest was sent that is forgotten."""
        self._by_user: dict[int, deque[_Sent]] | None = None
        """User -> the notifications of that user that are kept, the oldest first."""
        self._used_s = 0.0

    def __len__(self) -> int:
        """Return the number of notifications that are kept."""
        return len(self._sent)

    def add(self, item: Notification, told: Conns, now_s: float) -> None:
        """Keep a notification that was sent to these connections. `told` belongs to this object from now on."""
        self._number += 1
        sent = _Sent(self._number, now_s, item, told)
        self._sent.append(sent)
        self._users += len(item.users)
        self._bytes += len(item.frame)
        if self._by_user is not None:
            if now_s - self._used_s > INDEX_S:
                self._by_user = None
            else:
                self._put(sent)
        while self._sent and (
            self._users > MAX_USERS or self._bytes > MAX_BYTES or self._sent[0].at_s < now_s - KEEP_S
        ):
            self._forget()

    def _forget(self) -> None:
        oldest = self._sent.popleft()
        self._users -= len(oldest.item.users)
        self._bytes -= len(oldest.item.frame)
        self._forgotten_s = oldest.at_s
        if self._by_user is not None:  # it may be in use for as long as the registry is away
            for user in oldest.item.users:
                of_user = self._by_user[user]
                of_user.popleft()
                if not of_user:
                    del self._by_user[user]

    def _put(self, sent: _Sent) -> None:
        assert self._by_user is not None
        for user in sent.item.users:
            self._by_user.setdefault(user, deque()).append(sent)

    def reaches(self, since_s: float) -> bool:
        """Return True if everything that was sent since then is remembered."""
        return self._forgotten_s < since_s or self._forgotten_s == -math.inf

    def untold(self, frame: Announce, now_s: float) -> list[tuple[Notification, tuple[int, ...]]]:
        """Return what announced connections were not sent, oldest first, with these connections.

        They count as told from now on.
        """
        if self._by_user is None:
            self._by_user = {}
            for sent in self._sent:
                self._put(sent)
        self._used_s = now_s
        place = frame.node, frame.incarnation
        found: dict[int, Notification] = {}
        conns: defaultdict[int, list[int]] = defaultdict(list)
        for user, device, conn, _ in frame.there:
            for sent in self._by_user.get(user, ()):
                told = sent.told.setdefault(place, [])
                if conn not in told and device != sent.item.except_device:
                    told.append(conn)
                    found[sent.number] = sent.item
                    conns[sent.number].append(conn)
        return [(found[number], tuple(conns[number])) for number in sorted(found)]
