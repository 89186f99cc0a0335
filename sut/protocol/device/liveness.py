"""Detects a dead connection: heartbeats, and the silence after a request.

Three kinds of silence end an open connection: no WELCOME, no BEAT after a HEARTBEAT, and no close after DRAIN. Without
an answer to any request for long, an early HEARTBEAT checks the connection.

On a slow link a frame takes a while, so any byte of one is a sign of life. A driver that cannot see unfinished frames
does not call `Client.heard`. Then, while a page is requested, silence may last as long as a page takes at SLOWEST_BPS.
"""

from __future__ import annotations

import math
from typing import Final

from sut.protocol.device.context import Context

SLOWEST_BPS: Final = 2_048.0
"""Bytes per second of the slowest link on which a device must still catch up."""
LARGEST_PAGE: Final = 80 * 1024
"""The largest PAGE in bytes: 64 KB of bodies, one more body, and the fields beside them."""


class Liveness:
    """The liveness of one connection after another."""

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
        """Bytes per second that this connection was measured to carry."""

    def connected(self, now: float) -> None:
        """Note that a socket is open; WELCOME must follow."""
        self.disconnected()
        self._welcome_by = now + self._context.settings.beat_timeout_s

    def disconnected(self) -> None:
        """Reset all deadlines: no connection is open."""
        self._next_beat = self._welcome_by = self._close_by = math.inf
        self._context.asked_at = math.inf
        self._context.silent()
        self.bps = SLOWEST_BPS
        self._stalled = False

    def welcome(self, heartbeat_s: float, now: float) -> None:
        """Start the heartbeats. The first one has a random phase, so that devices welcomed together do not beat
        together.
        """
        self._welcome_by = math.inf
        self._heartbeat_s = max(0.1, heartbeat_s)
        self._next_beat = now + self._context.rng.uniform(0.0, self._heartbeat_s)

    def draining(self, base_s: float, now: float) -> None:
        """Note DRAIN: the gateway must close within about `base_s`."""
        self._close_by = now + base_s + self._context.settings.beat_timeout_s

    def heard(self, now: float) -> None:
        """Note that bytes arrived, perhaps of an unfinished frame."""
        self._context.asked_at = math.inf
        self._context.heard_at = now

    @property
    def rhythm(self) -> tuple[float, float]:
        """When the next HEARTBEAT is due, and the seconds between two; both inf without a connection."""
        return self._next_beat, self._heartbeat_s

    @property
    def at_ease(self) -> bool:
        """True while nothing is awaited but the time of the next HEARTBEAT."""
        context = self._context
        return not context.beats_out and min(self._welcome_by, self._close_by, context.asked_at) == math.inf

    def due(self) -> float:
        """Return when tick() has work to do."""
        if self._stalled:
            return math.inf
        return min(self._next_beat, self._welcome_by, self._close_by, self._context.dead_at(), self._probe_at())

    def tick(self, now: float) -> str | None:
        """Send a HEARTBEAT if one is due. Returns once why the connection is dead."""
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
        """Set the allowed silence. `pages`: a page is requested, so a large frame may be in transit."""
        self._context.pages = pages
        allowance_s = LARGEST_PAGE / self.bps if pages and not self._context.bytes_told else 0.0
        self._context.patience_s = self._context.settings.beat_timeout_s + allowance_s

    def _probe_at(self) -> float:
        """Return when silence calls for an early HEARTBEAT."""
        if self._context.beats_out:
            return math.inf
        return self._context.asked_at + 2 * self._context.settings.ack_timeout_s
