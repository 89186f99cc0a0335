"""The data that the parts of one client share: identity, settings, randomness, and the output lists of frames and
events.

It is separate, so that outbox, inbox, fetches, SYNC and liveness need not know each other or the Client.
"""

from __future__ import annotations

import math
import random
from collections import deque

from sut.protocol.device.events import ClientEvent, ClientSettings, Outrun, Violation
from sut.protocol.device.reconnect import full_jitter
from sut.protocol.frames import ClientFrame, Heartbeat, encode

HISTORY_REQ = 1 << 31
"""Set only in the req of a HISTORY, so that its late answer is not taken for the answer to a FETCH."""
PROOF_S = 0.2
"""Seconds that an answer may take longer than a BEAT: the gateway has to ask other services for it."""
LAST_CHANCE = 0.9
MAX_SLOW = 4.0
"""How many times the usual time limit an answer may get."""
GROWTH = (1.3, 1.9)
"""The range of the factor by which the limit grows when an answer is not there in time."""
_LAST_REQ = HISTORY_REQ - 1


class Context:
    """The identity, settings, randomness and output of one client."""

    __slots__ = (
        "_proof_came_at", "_req", "asked_at", "beats_out", "bytes_told", "device", "events", "frames",
        "heard_at", "next_client_seq", "pages", "patience_s", "proven_at", "question_at", "rng", "settings", "slow",
        "slowed_at", "user",
    )  # fmt: skip

    def __init__(self, *, user: int, device: int, rng: random.Random, settings: ClientSettings) -> None:
        self.user = user
        self.device = device
        self.rng = rng
        self.settings = settings
        self.frames: list[bytes] = []
        self.events: list[ClientEvent] = []
        self.asked_at = math.inf
        """When the oldest unanswered request left, since anything was heard; inf if there is none."""
        self.beats_out: deque[float] = deque()
        """The departure times of the HEARTBEATs without a BEAT, earliest first."""
        self.proven_at = -math.inf
        """The departure time of the last HEARTBEAT with a BEAT.

        Everything that the gateway sent before it has arrived.
        """
        self._proof_came_at = -math.inf
        self.pages = False
        """True while a page is requested: a large frame may be in transit."""
        self.heard_at = -math.inf
        self.patience_s = settings.beat_timeout_s
        """Seconds of silence that are allowed while a BEAT is awaited."""
        self.bytes_told = False
        """True if the driver reports every chunk of bytes, also of unfinished frames (`Client.heard`)."""
        self.question_at = math.inf
        """When the oldest unanswered request other than a HEARTBEAT left: since then the service itself is silent."""
        self.slow = 1.0
        """How many times the usual time limit an answer gets now: see `limit_s`."""
        self.slowed_at = -math.inf
        """When `slow` grew last."""
        self.next_client_seq = 1
        self._req = 0

    def used_up_to(self, client_seq: int) -> None:
        """Note that this device has used client_seqs up to `client_seq`. If this run has not, its state is an older
        copy.

        In that case new messages are numbered above it.
        """
        if client_seq >= self.next_client_seq:
            self.events.append(Outrun(self.next_client_seq, client_seq))
            self.next_client_seq = client_seq + 1

    def take_client_seq(self) -> int:
        """Return a client_seq that this device has never used."""
        self.next_client_seq += 1
        return self.next_client_seq - 1

    def ask(self, frame: ClientFrame, now: float) -> None:
        """Send a frame that the gateway must answer."""
        self.frames.append(encode(frame))
        self.asked_at = min(self.asked_at, now)
        if not isinstance(frame, Heartbeat):
            self.question_at = min(self.question_at, now)

    def heartbeat(self, now: float) -> None:
        """Send a HEARTBEAT. It is answered at once, so its BEAT arrives after everything in transit to the device."""
        self.ask(Heartbeat(), now)
        self.beats_out.append(now)

    def beat(self, now: float) -> None:
        """Note a BEAT. An unrequested one counts as well: it costs at most one extra request."""
        if self.beats_out:
            self.answered(self.beats_out[0], now)

    def answered(self, asked_at: float, now: float) -> None:
        """Note the answer to the request sent at `asked_at`: everything that the gateway sent before it has arrived."""
        while self.beats_out and self.beats_out[0] <= asked_at:
            self.beats_out.popleft()
        if asked_at > self.proven_at:
            self.proven_at, self._proof_came_at = asked_at, now

    def limit_s(self, timeout_s: float) -> float:
        """Return how long to wait for an answer that usually gets `timeout_s`.

        To ask a slow service again makes it slower. So each time that an answer is late the limit grows, for all
        requests and at random, up to MAX_SLOW times. Each answer that comes in time brings it back by half.
        """
        return timeout_s * self.slow

    def late(self, asked_at: float, now: float) -> None:
        """Note that a request sent at `asked_at` has no answer in time. Those sent together count once."""
        if asked_at >= self.slowed_at and not self.settings.repeat_fixed_s:
            self.slow = min(MAX_SLOW, self.slow * self.rng.uniform(*GROWTH))
            self.slowed_at = now

    def took(self, seconds: float, timeout_s: float) -> None:
        """Note what an answer took that usually gets `timeout_s`."""
        if self.slow > 1.0:
            self.slow = max(1.0, min(self.slow, max(2 * seconds / timeout_s, self.slow / 2)))

    def overdue(self, deadline: float, now: float) -> bool:
        """Return True if the request that should have been answered by `deadline` may be repeated.

        On a slow link the answer may still be in transit, as a page or behind one. So while a page is requested, a
        HEARTBEAT is sent first. If its BEAT arrives before the answer, the answer was not in transit.
        """
        if not self.pages:
            return deadline <= now
        if self.proven_at >= deadline:
            return now >= self._proof_came_at + PROOF_S
        if self.beats_out:
            return now >= self._impatient_at()
        if deadline <= now:
            self.heartbeat(now)
        return False

    def due(self, deadline: float) -> float:
        """Return when to check whether a request is `overdue`: while a BEAT is awaited, not before it arrives."""
        if not self.pages:
            return deadline
        if self.proven_at >= deadline:
            return max(deadline, self._proof_came_at + PROOF_S)
        return max(deadline, self._impatient_at()) if self.beats_out else deadline

    def dead_at(self) -> float:
        """Return when the connection is dead if nothing arrives; inf while no BEAT is awaited."""
        return max(self.beats_out[0], self.heard_at) + self.patience_s if self.beats_out else math.inf

    def _impatient_at(self) -> float:
        """Return the time shortly before it is dead, when every request is repeated: a gateway might not answer
        HEARTBEATs.
        """
        return max(self.beats_out[0], self.heard_at) + LAST_CHANCE * self.patience_s

    def silent(self) -> None:
        """Reset the state of the connection, which has ended."""
        self.beats_out.clear()
        self.proven_at = self.heard_at = -math.inf
        self.bytes_told = False
        self.question_at = math.inf

    def tell(self, frame: ClientFrame) -> None:
        """Send a frame that needs no answer."""
        self.frames.append(encode(frame))

    def next_req(self) -> int:
        """Return a new request number. It is never 0, so 0 can mean "none"."""
        self._req = 1 if self._req == _LAST_REQ else self._req + 1
        return self._req

    def violation(self, text: str) -> None:
        """Report that the service broke the protocol."""
        self.events.append(Violation(text))

    def back_off_s(self, attempt: int, *, base_s: float | None = None) -> float:
        """Return the full-jitter wait in seconds before a retry on the same connection."""
        settings = self.settings
        base_s = settings.retry_base_s if base_s is None else base_s
        return full_jitter(self.rng, base_s=base_s, cap_s=settings.retry_max_s, attempt=attempt)
