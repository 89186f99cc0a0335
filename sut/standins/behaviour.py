"""How ill the providers are: shares of the pushes that each trouble befalls, drawn anew for each push.

Only that a token is dead (`gone`) is a property of the token: it is dead every time.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from typing import Annotated

import msgspec

from sut.standins.h2_server import Harm

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one provider. All shares 0: well."""

    gone: Share = 0.0
    """Of the tokens: the app was deleted."""
    throttled: Share = 0.0
    """429."""
    failing: Share = 0.0
    """500 or 503."""
    slow: Share = 0.0
    slow_s: float = 1.0
    lost: Share = 0.0
    """Accepted, but the answer never comes: the connection is cut after it."""
    reset: Share = 0.0
    cut: Share = 0.0
    goaway: Share = 0.0
    expired: Share = 0.0
    """Our credentials are said to have expired."""
    retry_after_s: int = 1
    """With 429 and 503."""
    away: bool = False
    """Nobody can connect, and connections are cut."""


class Behaviours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of both; what the control endpoint takes and shows."""

    apns: Behaviour = Behaviour()
    fcm: Behaviour = Behaviour()


def is_gone(token: str, share: float) -> bool:
    """Whether this token is among the dead ones."""
    return int.from_bytes(hashlib.blake2b(token.encode(), digest_size=4).digest(), "big") < share * (1 << 32)


async def harm_to(behaviour: Behaviour, rng: random.Random) -> Harm | None:
    """What befalls the connection of this push, if anything does. Slow: only after the wait."""
    for share, harm in ((behaviour.cut, Harm.CUT), (behaviour.goaway, Harm.GOAWAY), (behaviour.reset, Harm.RESET)):
        if strikes(rng, share):
            return harm
    if strikes(rng, behaviour.slow):
        await asyncio.sleep(behaviour.slow_s)
    return None


def strikes(rng: random.Random, share: float) -> bool:
    """Whether it befalls this push."""
    return share > 0 and rng.random() < share
