"""The faults of the stand-in providers: the share of pushes that each fault hits, drawn anew for each push.

Only `gone` is a property of the token: a dead token is dead every time.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Callable
from typing import Annotated

import msgspec

from sut.standins.h2_server import Harm

SLACK_S = 0.05
"""A client's clock may run ahead by so much."""
MAX_TOLD = 100_000

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The faults of one provider. The defaults mean: none."""

    gone: Share = 0.0
    """Share of the tokens that are dead, as if the app had been deleted."""
    throttled: Share = 0.0
    """Share of pushes answered with 429."""
    failing: Share = 0.0
    """Share of pushes answered with 500 or 503."""
    slow: Share = 0.0
    slow_s: float = 1.0
    lost: Share = 0.0
    """Share of pushes that are accepted but not answered: the connection is cut instead."""
    reset: Share = 0.0
    cut: Share = 0.0
    goaway: Share = 0.0
    """GOAWAY and the end at once, without an answer to what is under way."""
    drained: Share = 0.0
    """GOAWAY with the answer: what came before this push is answered, what came after it is not looked at."""
    silent: Share = 0.0
    """Neither accepted nor answered, ever; those beside it are."""
    expired: Share = 0.0
    """Share of pushes answered as if our credentials had expired."""
    retry_after_s: int = 1
    """The Retry-After header of 429 and 503, in seconds."""
    away: bool = False
    """Accept no connections and cut those that exist."""


class Behaviours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The faults of both providers, as the control endpoint takes and shows them."""

    apns: Behaviour = Behaviour()
    fcm: Behaviour = Behaviour()


def is_gone(token: str, share: float) -> bool:
    """Return True if this token is in the `share` of dead ones. The answer for a token never changes."""
    return int.from_bytes(hashlib.blake2b(token.encode(), digest_size=4).digest(), "big") < share * (1 << 32)


async def harm_to(behaviour: Behaviour, rng: random.Random) -> Harm | None:
    """Return the harm for the connection of this push, or None. If the provider is slow, waits first."""
    for share, harm in (
        (behaviour.cut, Harm.CUT),
        (behaviour.goaway, Harm.GOAWAY),
        (behaviour.reset, Harm.RESET),
        (behaviour.silent, Harm.SILENCE),
    ):
        if strikes(rng, share):
            return harm
    if strikes(rng, behaviour.slow):
        await asyncio.sleep(behaviour.slow_s)
    return None


class Waits:
    """Tracks which pushes were told to retry later, and whether they did. The key is token and conversation."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until_s: dict[tuple[str, int], float] = {}
        self.too_soon = 0

    def came(self, token: str, conv: int) -> None:
        """This push is here."""
        self.too_soon += self._clock() < self._until_s.pop((token, conv), 0.0) - SLACK_S

    def told(self, token: str, conv: int, after_s: float) -> None:
        """It was answered with this Retry-After."""
        if len(self._until_s) >= MAX_TOLD:
            self._until_s.clear()
        self._until_s[token, conv] = self._clock() + after_s


def strikes(rng: random.Random, share: float) -> bool:
    """Return True for a random `share` of the calls."""
    return share > 0 and rng.random() < share
