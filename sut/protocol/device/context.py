"""What the parts of one client share: who it is, its settings and randomness, and the two lists it fills.

Kept apart so that outbox, inbox, fetches, SYNC and liveness need not know each other or the Client.
"""

from __future__ import annotations

import math
import random

from sut.protocol.device.events import ClientEvent, ClientSettings, Outrun, Violation
from sut.protocol.device.reconnect import full_jitter
from sut.protocol.frames import ClientFrame, encode

HISTORY_REQ = 1 << 31
"""This bit is set in the req of a HISTORY and of no other: a late answer to one must not be taken for a FETCH's."""
_LAST_REQ = HISTORY_REQ - 1


class Context:
    """Identity, settings, randomness and output of one client."""

    __slots__ = ("_req", "asked_at", "device", "events", "frames", "next_client_seq", "rng", "settings", "user")

    def __init__(self, *, user: int, device: int, rng: random.Random, settings: ClientSettings) -> None:
        self.user = user
        self.device = device
        self.rng = rng
        self.settings = settings
        self.frames: list[bytes] = []
        self.events: list[ClientEvent] = []
        self.asked_at = math.inf
        """When the first frame that wants an answer left since anything was heard; inf: none did."""
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
