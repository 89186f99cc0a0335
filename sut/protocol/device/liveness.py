"""Whether the connection still works: heartbeats, and the silence after a question.

Four things end a connection that is open but of no use: no WELCOME, silence after a HEARTBEAT that has no BEAT, no
answer to anything for long, which first brings a HEARTBEAT forward to be sure, and no close after DRAIN.

On a slow link a frame takes a while: any byte of one is a sign of life. A driver that cannot see unfinished frames
does not call `Client.heard`; then silence may last as long as a page takes at SLOWEST_BPS, while one is asked for.
"""

from __future__ import annotations

import math
from typing import Final

from sut.protocol.device.context import Context

SLOWEST_BPS: Final = 2_048.0
"""Bytes a second of the slowest link on which a device is to catch up."""
LARGEST_PAGE: Final = 80 * 1024
"""A PAGE of 64 KB of bodies and one more, with what is beside them."""


class Liveness:
    """Of one connection after another."""

    __slots__ = (
        "_close_by", "_context", "_heartbeat_s", "_next_beat", "_stalled", "_welcome_by", "bps",
    )  # fmt: skip

    def __init__(self, context: Context) -> None:
        self._context = context
        self._heartbeat_s = math.inf
        self._next_beat = math.inf
        self._welcome_by = math.inf
        self._close_by = math.inf
        self._stalled = False
        self.bps = SLOWEST_BPS
        """Bytes a second that this connection has been seen to carry."""

    def connected(self, now: float) -> None:
        """A socket is open; WELCOME must follow."""
        self.disconnected()
        self._welcome_by = now + self._context.settings.beat_timeout_s

    def disconnected(self) -> None:
        """Nothing is expected any more."""
        self._next_beat = self._welcome_by = self._close_by = math.inf
        self._context.asked_at = math.inf
        self._context.silent()
        self.bps = SLOWEST_BPS
        self._stalled = False

    def welcome(self, heartbeat_s: float, now: float) -> None:
        """The first heartbeat comes at a random phase, so that devices welcomed together do not beat together."""
        self._welcome_by = math.inf
        self._heartbeat_s = max(0.1, heartbeat_s)
        self._next_beat = now + self._context.rng.uniform(0.0, self._heartbeat_s)

    def draining(self, base_s: float, now: float) -> None:
        """DRAIN came: the gateway must close within about `base_s`."""
        self._close_by = now + base_s + self._context.settings.beat_timeout_s

    def heard(self, now: float) -> None:
        """Anything arrived, if only a part of a frame."""
        self._context.asked_at = math.inf
        self._context.heard_at = now

    def due(self) -> float:
        """When tick() has something to do."""
        if self._stalled:
            return math.inf
        return min(self._next_beat, self._welcome_by, self._close_by, self._context.dead_at(), self._probe_at())

    def tick(self, now: float) -> str | None:
        """Send what is due. Returns why the connection is dead, once."""
        if self._stalled:
            return None
        if self._welcome_by <= now:
            self._stalled = True
            return f"no WELCOME in {self._context.settings.beat_timeout_s} s"
        if self._close_by <= now:
            self._stalled = True
            return "still open after DRAIN"
        if self._context.dead_at() <= now:
            self._stalled = True
            return f"nothing heard for {self._context.settings.beat_timeout_s} s after a HEARTBEAT"
        if self._next_beat <= now or self._probe_at() <= now:
            self._context.heartbeat(now)
            self._next_beat = now + self._heartbeat_s
        return None

    def be_patient(self, *, pages: bool) -> None:
        """`pages`: one is asked for, so a large frame may be on its way."""
        self._context.pages = pages
        allowance_s = LARGEST_PAGE / self.bps if pages and not self._context.bytes_told else 0.0
        self._context.patience_s = self._context.settings.beat_timeout_s + allowance_s

    def _probe_at(self) -> float:
        """When silence calls for a HEARTBEAT out of turn."""
        if self._context.beats_out:
            return math.inf
        return self._context.asked_at + 2 * self._context.settings.ack_timeout_s
