"""The bodies of the page's orders, as JSON."""

from __future__ import annotations

import msgspec


class Experiment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the page asks for when it starts a whole experiment."""

    experiment: str
    users: int
    duration_s: float
    seed: int = 1


class Injection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the page asks for when it breaks something."""

    fault: str
    target: str
    for_s: float
    options: dict[str, float] = {}


class Healing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the page asks for when it heals: one injection by its id, or all."""

    id: str = ""
