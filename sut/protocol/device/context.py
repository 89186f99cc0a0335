"""What the parts of one client share: who it is, its settings and randomness, and the two lists it fills.

Kept apart so that outbox, inbox, fetches, SYNC and liveness need not know each other or the Client.
"""

from __future__ import annotations

import math
import random
from collections import deque

from sut.protocol.device.events import ClientEvent, ClientSettings, Outrun, Violation
from sut.protocol.device.reconnect import full_jitter
from sut.protocol.frames import ClientFrame, Heartbeat, encode

HISTORY_REQ = 1 << 31
"""This bit is set in the req of a HISTORY and of no other: a late answer to one must not be taken for a FETCH's."""
PROOF_S = 0.2
"""How much longer than a BEAT an answer may take that the gateway has to ask others for."""
LAST_CHANCE = 0.9
_LAST_REQ = HISTORY_REQ - 1


class Context:
    """Identity, settings, randomness and output of one client."""

    __slots__ = (
        "_proof_came_at", "_req", "asked_at", "beats_out", "bytes_told", "device", "events", "frames",
        "heard_at", "next_client_seq", "pages", "patience_s", "proven_at", "question_at", "rng", "settings", "user",
    )  # fmt: skip

    def __init__(self, *, user: int, device: int, rng: random.Random, settings: ClientSettings) -> None:
        self.user = user
        self.device = device
        self.rng = rng
        self.settings = settings
        self.frames: list[bytes] = []
        self.events: list[ClientEvent] = []
        self.asked_at = math.inf
        """When the first frame that wants an answer left since anything was heard; inf: none did."""
        self.beats_out: deque[float] = deque()
        """When the HEARTBEATs that have no BEAT yet left, the earliest first."""
        self.proven_at = -math.inf
        """When the last HEARTBEAT that has its BEAT left. What the gateway had sent by then is here."""
        self._proof_came_at = -math.inf
        self.pages = False
        """A page is asked for: much may be on its way."""
        self.heard_at = -math.inf
        self.patience_s = settings.beat_timeout_s
        """How long silence may last while a BEAT is awaited."""
        self.bytes_told = False
        """The driver says when bytes come, of unfinished frames too (`Client.heard`)."""
        self.question_at = math.inf
        """The same of all but HEARTBEATs and BEATs: since when the service, rather than the gateway, is silent."""
        self.next_client_seq = 1
        self._req = 0

    def used_up_to(self, client_seq: int) -> None:
        """This device has used its keys up to here. If this run has not: it goes on from a copy, above them."""
        if client_seq >= self.next_client_seq:
            self.events.append(Outrun(self.next_client_seq, client_seq))
            self.next_client_seq = client_seq + 1

    def take_client_seq(self) -> int:
        """A key that this device has never used."""
        self.next_client_seq += 1
        return self.next_client_seq - 1

    def ask(self, frame: ClientFrame, now: float) -> None:
        """Send a frame that the gateway must answer somehow."""
        self.frames.append(encode(frame))
        self.asked_at = min(self.asked_at, now)
        if not isinstance(frame, Heartbeat):
            self.question_at = min(self.question_at, now)

    def heartbeat(self, now: float) -> None:
        """Send a HEARTBEAT, which is answered at once: its BEAT comes behind all that is on its way to the device."""
        self.ask(Heartbeat(), now)
        self.beats_out.append(now)

    def beat(self, now: float) -> None:
        """A BEAT came. One that was not asked for counts as well: it costs at most a question too many."""
        if self.beats_out:
            self.answered(self.beats_out[0], now)

    def answered(self, asked_at: float, now: float) -> None:
        """What was asked then is answered: the gateway had sent all before it that it had to send by then."""
        while self.beats_out and self.beats_out[0] <= asked_at:
            self.beats_out.popleft()
        if asked_at > self.proven_at:
            self.proven_at, self._proof_came_at = asked_at, now

    def overdue(self, deadline: float, now: float) -> bool:
        """Whether what should have been answered by `deadline` may be asked again.

        On a slow link the answer may be on its way, as a page or behind one. So while a page is asked for a HEARTBEAT
        is sent first: when its BEAT is here and the answer is not, it was not on its way.
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
        """When to look whether something is `overdue`: while a BEAT is awaited, not before it came."""
        if not self.pages:
            return deadline
        if self.proven_at >= deadline:
            return max(deadline, self._proof_came_at + PROOF_S)
        return max(deadline, self._impatient_at()) if self.beats_out else deadline

    def dead_at(self) -> float:
        """When the connection is dead if nothing comes; inf while no BEAT is awaited."""
        return max(self.beats_out[0], self.heard_at) + self.patience_s if self.beats_out else math.inf

    def _impatient_at(self) -> float:
        """Just before it is dead everything is asked once more: some gateway might not answer a HEARTBEAT."""
        return max(self.beats_out[0], self.heard_at) + LAST_CHANCE * self.patience_s

    def silent(self) -> None:
        """The connection ended."""
        self.beats_out.clear()
        self.proven_at = self.heard_at = -math.inf
        self.bytes_told = False
        self.question_at = math.inf

    def tell(self, frame: ClientFrame) -> None:
        """Send a frame that needs no answer."""
        self.frames.append(encode(frame))

    def next_req(self) -> int:
        """A fresh request number; never 0, so 0 can say "none"."""
        self._req = 1 if self._req == _LAST_REQ else self._req + 1
        return self._req

    def violation(self, text: str) -> None:
        """Report that the service broke its protocol."""
        self.events.append(Violation(text))

    def back_off_s(self, attempt: int) -> float:
        """Full-jitter wait before a retry on the same connection."""
        settings = self.settings
        return full_jitter(self.rng, base_s=settings.retry_base_s, cap_s=settings.retry_max_s, attempt=attempt)
