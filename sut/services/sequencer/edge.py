"""What a sequencer sends to one gateway, kept until the gateway confirms it.

A link that swallows everything looks whole for seconds. So a gateway confirms its Deliveries (Took), and what is not
confirmed in time goes another way: a chat service passes it on. When the link has come up again, the rest is sent once
more, and before anything new, because a confirmation covers all up to its number. A frame may so arrive twice, which
devices ignore. Only what no way has taken in KEEP_S is given up: then the gateway is told that notifications are
missing (Missed).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sut.process.peer import PeerLink
from sut.protocol.peer import Deliver, Deliveries, Missed, PassOn

OVERDUE_S: Final = 0.4
"""A confirmation comes with the gateway's next tick, 0.1 s. Later than this, on a silent link, it is not coming."""
VERY_OVERDUE_S: Final = 1.5
"""Later than this something is wrong even if the link is not silent: a frame was lost on it."""
KEEP_S: Final = 20.0
MAX_BYTES: Final = 8 << 20
"""Bytes that may wait for their confirmation: as many as may wait in a link."""
ITEM_BYTES: Final = 200
"""Cost of an item beside its frame, about."""


@dataclass(slots=True)
class _Sent:
    number: int
    at_s: float
    items: tuple[Deliver, ...]
    size: int
    up: int = 0
    """The number of the link's life that it was sent in; 0: in none."""
    passed: bool = False


class Edge:
    """The way to one edge node. Times are in seconds of the monotonic clock."""

    def __init__(self, link: PeerLink, *, pass_on: Callable[[PassOn], bool] | None) -> None:
        """`pass_on`: sends a frame another way, False if there is none. None: this node confirms nothing."""
        self._link = link
        self._pass_on = pass_on
        self._incarnation = 0
        self._untaken: deque[_Sent] = deque()
        self._size = 0
        self._number = 0
        self._owes_missed = False
        self.passed = 0
        """Deliver frames that went another way."""

    def serves(self, incarnation: int) -> bool:
        """Return True if frames for this incarnation can reach it: linked, or else the newest one that is known."""
        linked = self._link.peer_incarnation
        if self._pass_on is None:
            return linked == incarnation
        self._adopt(linked or max(incarnation, self._incarnation))
        return incarnation == self._incarnation

    def _adopt(self, incarnation: int) -> None:
        """Send to this incarnation; 0: to the one before. What was meant for another one is dropped.

        Who is linked is there, whatever its number: it comes from a clock, which may have been set back.
        """
        if incarnation not in (0, self._incarnation):
            self._incarnation = incarnation
            self._untaken.clear()  # they were for connections of the one before
            self._size = 0

    def send(self, items: tuple[Deliver, ...], now_s: float) -> bool:
        """Send them. False: they are lost."""
        if self._pass_on is None:
            return self._link.send(Deliveries(items))
        self._adopt(self._link.peer_incarnation)
        self._number += 1
        sent = _Sent(self._number, now_s, items, sum(len(item.frame) + ITEM_BYTES for item in items))
        behind = bool(self._untaken) and self._untaken[-1].up != self._link.ups
        self._untaken.append(sent)
        self._size += sent.size
        if behind:
            self._send_again(now_s)
        elif self._link.send(Deliveries(items, sent.number)):
            sent.up = self._link.ups
        if not sent.up or self._is_silent(now_s):
            self._pass(sent)
        while self._size > MAX_BYTES:
            self._give_up()
        return True

    def taken(self, number: int) -> None:
        """Forget what the gateway has confirmed."""
        while self._untaken and self._untaken[0].number <= number:
            self._size -= self._untaken.popleft().size

    def look(self, now_s: float) -> None:
        """Send again what is not confirmed: on a link that is up again, or another way. Called ten times a second."""
        self._adopt(self._link.peer_incarnation)
        silent = self._is_silent(now_s)
        self._send_again(now_s)
        for sent in self._untaken:
            age_s = now_s - sent.at_s
            if not sent.passed and (age_s > VERY_OVERDUE_S or (silent and age_s > OVERDUE_S)):
                self._pass(sent)
        while self._untaken and now_s - self._untaken[0].at_s > KEEP_S:
            self._give_up()
        if self._owes_missed and self._link.send(Missed()):
            self._owes_missed = False

    def _send_again(self, now_s: float) -> None:
        """Send what the present life of the link has not had, in order. So whatever it had, it had all before that."""
        for sent in self._untaken if self._link.up else ():
            if sent.up == self._link.ups:
                continue
            if not self._link.send(Deliveries(sent.items, sent.number)):
                break
            sent.up, sent.at_s = self._link.ups, now_s

    def _give_up(self) -> None:
        sent = self._untaken.popleft()
        self._size -= sent.size
        self._owes_missed |= not sent.passed

    def _is_silent(self, now_s: float) -> bool:
        """Return True if the oldest frame is overdue, and nothing was heard since it was sent."""
        if not self._untaken:
            return False
        at_s = self._untaken[0].at_s
        return now_s - at_s > OVERDUE_S and self._link.heard_s <= at_s

    def _pass(self, sent: _Sent) -> None:
        if self._pass_on is not None and self._pass_on(PassOn(self._link.target, self._incarnation, sent.items)):
            sent.passed = True
            self.passed += len(sent.items)
