"""The messages that a device knows it is missing, and the requests for them.

A conversation is listed here while its known head is above its cursor, or a FETCH for it is in flight. At most one
FETCH per conversation and `max_fetches` per device are in flight; the others wait in a queue. A conversation with more
to fetch goes to the end of the queue after each page. An answer that brings nothing is never followed by the same
request at once: the conversation rests for a jittered back-off.

A head is only a claim: a removed member may be notified of a number that they cannot read. After DOUBTS_BEFORE_AUDIT
pages that deny it, the next SYNC decides (`begin_audit`, `end_audit`). Until then the gap counts.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Final

from sut.protocol.device.context import Context
from sut.protocol.device.liveness import SLOWEST_BPS
from sut.protocol.device.retry import Retry
from sut.protocol.frames import DEFINITE_FROM, Error, Fetch

DOUBTS_BEFORE_AUDIT: Final = 3
PAGE_S: Final = 2
"""The target transfer time of a page on a slow link, in seconds."""
SLOW_S: Final = 1.0
SLOW_BYTES: Final = 8 * 1024
"""A page with more bytes than this that took longer than SLOW_S came over a slow link."""
SLOW_FLIGHTS: Final = 2
"""FETCHes in flight on a slow link: one being answered, and one waiting at the gateway."""
PAUSE_S: Final = 0.5
"""Bytes that arrive after a longer pause, in seconds, start a frame."""


class _State(IntEnum):
    IDLE = 0  # no connection, or nothing to ask
    LINED_UP = 1
    IN_FLIGHT = 2
    RESTING = 3


class _Gap:
    __slots__ = ("after", "audited", "doubts", "failures", "first_req", "head", "req", "state")

    def __init__(self, head: int) -> None:
        self.head = head  # highest sequence number claimed
        self.state = _State.IDLE
        self.after = 0  # the `after` of the last FETCH
        self.req = 0  # its req until it is answered; then 0
        self.first_req = 0  # the req of the first FETCH with the same `after`: its late answer counts too
        self.failures = 0
        self.doubts = 0
        self.audited = False


class Fetches:
    """The gaps of one device. Reads the cursors of the inbox and never moves them."""

    __slots__ = (
        "_context", "_cursors", "_flights", "_gaps", "_heard_at", "_limit", "_line", "_open", "_retry", "_since",
    )  # fmt: skip

    def __init__(self, context: Context, cursors: dict[int, int], *, is_open: bool) -> None:
        self._context = context
        self._cursors = cursors
        self._open = is_open
        self._gaps: dict[int, _Gap] = {}
        self._line: dict[int, None] = {}  # an ordered set: conversations that wait for a free flight
        self._retry = Retry(context.settings.fetch_timeout_s, context)
        self._limit = context.settings.page_limit  # messages asked for at once; fewer on a slow link
        self._flights = context.settings.max_fetches
        self._since = 0.0  # when the next page started to arrive, as far as is known
        self._heard_at = 0.0

    @property
    def asked(self) -> bool:
        """True while a page is requested."""
        return bool(self._retry.flights)

    def heard(self, now: float) -> None:
        """Note that bytes arrived. After a pause, that is when a frame started."""
        if now - self._heard_at > PAUSE_S:
            self._since = now
        self._heard_at = now

    def measured(self, size: int, bps: float, now: float) -> float:
        """Note a PAGE of `size` bytes. Returns the link's bytes per second; `bps` if nothing new was learned.

        The next pages are sized to take about PAGE_S each. On a slow link fewer are in flight.
        """
        took_s = now - self._since
        self._since = self._heard_at = now
        settings = self._context.settings
        if took_s > SLOW_S and size > SLOW_BYTES:
            slow_bps = size / took_s
            self._limit = max(1, int(self._limit * PAGE_S / took_s))
            self._flights = SLOW_FLIGHTS
            return max(SLOWEST_BPS, slow_bps)
        self._limit = min(settings.page_limit, 2 * self._limit)
        if self._limit == settings.page_limit:
            self._flights = settings.max_fetches
        return max(bps, size / max(took_s, 0.001))

    @property
    def behind(self) -> bool:
        """True if a conversation is known to be ahead of its cursor."""
        cursors = self._cursors
        return any(gap.head > cursors[conv] for conv, gap in self._gaps.items())

    def wants(self, conv: int) -> bool:
        """Return True if the conversation is known to be ahead of its cursor, or a FETCH for it is in flight."""
        return conv in self._gaps

    def open(self, now: float) -> None:
        """Request every gap: WELCOME arrived."""
        self._open = True
        for conv, gap in self._gaps.items():
            self._line_up(conv, gap)
        self._launch(now)

    def close(self) -> None:
        """Note that the connection ended: nothing is in flight any more. The gaps stay."""
        self._open = False
        self._limit, self._flights = self._context.settings.page_limit, self._context.settings.max_fetches
        self._retry.clear()
        self._line.clear()
        for conv, gap in list(self._gaps.items()):
            if gap.head <= self._cursors[conv]:
                del self._gaps[conv]
            gap.state, gap.req, gap.failures = _State.IDLE, 0, 0

    def claim(self, conv: int, head: int, now: float) -> None:
        """Note that this conversation has reached `head`, which is above its cursor."""
        gap = self._gaps.get(conv)
        if gap is None:
            gap = self._gaps[conv] = _Gap(head)
        gap.audited = False
        if head > gap.head:
            gap.head, gap.doubts = head, 0
            if gap.state is _State.RESTING:
                self._hasten(conv, gap, now)
        if gap.state is _State.IDLE:
            self._line_up(conv, gap)
            self._launch(now)

    def confirm(self, conv: int, head: int, now: float) -> None:
        """Note that SYNCED lists this conversation: the claim is true, whatever the pages said."""
        self.claim(conv, head, now)
        self._gaps[conv].doubts = 0

    def rewind(self, conv: int) -> None:
        """Drop the claims and requests of a conversation whose cursor was lowered."""
        if conv in self._gaps:
            self._drop(conv)

    def filled(self, conv: int, cursor: int) -> None:
        """Note that the cursor moved without a page. A FETCH in flight stays until it is answered."""
        gap = self._gaps.get(conv)
        if gap is not None and gap.head <= cursor and gap.state is not _State.IN_FLIGHT:
            self._drop(conv)

    def answered(self, conv: int, req: int, now: float) -> int | None:
        """Take a PAGE. Returns the `after` of its FETCH; None when this page answers no known FETCH.

        When not None, the caller must call settle() after it has used the page.
        """
        gap = self._gaps.get(conv)
        if gap is None or not gap.req or not gap.first_req <= req <= gap.req:
            return None
        if req == gap.req:
            self._retry.measure(conv, now)
        self._retry.answered(conv, now)
        return gap.after

    def settle(self, conv: int, *, page_head: int, buffered: bool, now: float) -> bool:
        """Go on after a page was used and the cursor moved. `buffered`: a later message is here, so the gap is certain.

        Returns True when only a SYNC can decide whether the known head is real.
        """
        gap, cursor = self._gaps[conv], self._cursors[conv]
        progress = cursor > gap.after
        gap.req = 0
        gap.head = max(gap.head, page_head)
        doubtful = False
        if cursor >= gap.head:
            self._drop(conv)
        elif progress:
            gap.failures = gap.doubts = 0
            self._line_up(conv, gap)
        else:
            doubtful = page_head <= cursor and not buffered and self._doubt(gap)
            self._rest(conv, gap, now)
        self._launch(now)
        return doubtful

    def failed(self, frame: Error, now: float) -> bool:
        """Take an ERROR. Returns True when only a SYNC can decide whether the known head is real."""
        for conv in self._retry.flights:
            gap = self._gaps[conv]
            if gap.req == frame.req:
                doubtful = frame.code >= DEFINITE_FROM and self._doubt(gap)
                self._rest(conv, gap, now)
                self._launch(now)
                return doubtful
        return False

    def begin_audit(self) -> None:
        """Mark the doubted heads at the start of a chain of SYNCs. A claim renewed meanwhile removes its mark."""
        for gap in self._gaps.values():
            gap.audited = gap.doubts >= DOUBTS_BEFORE_AUDIT

    def end_audit(self) -> list[int]:
        """Drop the doubted heads that a certain chain of SYNCs did not list. Returns their conversations."""
        ended = []
        for conv, gap in list(self._gaps.items()):
            if gap.audited:
                gap.head, gap.audited = self._cursors[conv], False
                self.filled(conv, gap.head)
                ended.append(conv)
        return ended

    def due(self) -> float:
        """Return when tick() has work to do."""
        return self._retry.due() if self._open else math.inf

    def tick(self, now: float) -> None:
        """Repeat requests without an answer, and start those whose rest is over."""
        if not self._open:
            return
        for conv in self._retry.pop_expired(now):
            self._rest(conv, self._gaps[conv], now)
        for conv in self._retry.pop_rested(now):
            self._line_up(conv, self._gaps[conv])
        self._launch(now)

    def _line_up(self, conv: int, gap: _Gap) -> None:
        if self._open:
            gap.state = _State.LINED_UP
            self._line[conv] = None

    def _launch(self, now: float) -> None:
        """Start FETCHes from the head of the queue while flights are free."""
        settings = self._context.settings
        if not self._retry.flights:
            self._since = now
        while self._line and len(self._retry.flights) < min(self._flights, settings.max_fetches):
            conv = next(iter(self._line))
            del self._line[conv]
            gap, cursor = self._gaps[conv], self._cursors[conv]
            req = self._context.next_req()
            if not gap.req or gap.after != cursor:
                gap.first_req, gap.after = req, cursor
            gap.req = req
            gap.state = _State.IN_FLIGHT
            self._context.ask(Fetch(gap.req, conv, cursor, min(self._limit, settings.page_limit)), now)
            self._retry.launch(conv, now)

    def _rest(self, conv: int, gap: _Gap, now: float) -> None:
        """Try again later after an attempt that brought nothing, if the gap is still there."""
        if gap.head <= self._cursors[conv]:
            self._drop(conv)
            return
        if not self._open:
            return
        self._line.pop(conv, None)
        self._retry.rest(conv, now + self._context.back_off_s(gap.failures))
        gap.state = _State.RESTING
        gap.failures += 1

    def _hasten(self, conv: int, gap: _Gap, now: float) -> None:
        """Shorten the rest to a first back-off: there is news. At most one such change per `retry_base_s`."""
        if self._retry.rests_until(conv) > now + self._context.settings.retry_base_s:
            gap.failures = 0
            self._retry.rest(conv, now + self._context.back_off_s(0))

    def _drop(self, conv: int) -> None:
        del self._gaps[conv]
        self._line.pop(conv, None)
        self._retry.forget(conv)

    @staticmethod
    def _doubt(gap: _Gap) -> bool:
        gap.doubts += 1
        return gap.doubts == DOUBTS_BEFORE_AUDIT
