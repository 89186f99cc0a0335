"""The plan of presence looks, typing and reads, made from the seed like the sends.

Each part has its own random stream, so a run without them has the same population and sends as one with them. Pure; the
same for a seed on every machine.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from load.plan.population import Population, shuffled, stream
from load.workload import SwarmConfig

LOOK_S: Final = (10.0, 30.0)
"""Shortest and longest time in s that a user looks at the same people, if the run is long enough for it."""
PAUSE_S: Final = (1.0, 5.0)
"""Shortest and longest time in s between two looks."""
TYPING_S: Final = (0.5, 4.0)
"""Shortest and longest time in s from the begin of typing to the send."""
MAX_CONTACTS: Final = 1_000
"""Number of a user's contacts from which those to look at are drawn."""
_MIX: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1


class Look(NamedTuple):
    """The person looks at these users from one time to another, in us after t0."""

    from_us: int
    to_us: int
    users: tuple[int, ...]


class Keystroke(NamedTuple):
    """The person begins to type at `at_us` after t0, in the conversation at that place in the population."""

    at_us: int
    conversation: int


def is_read(seed: int, device: int, msg: int, share: float) -> bool:
    """Return True if the person reads this message as soon as it is shown; `share` of all messages are."""
    mixed = ((msg ^ device << 1 ^ seed << 17) * _MIX) & _MASK
    return (mixed >> 32) < share * (1 << 32)


def looks(config: SwarmConfig, population: Population, duration_us: int) -> dict[int, tuple[Look, ...]]:
    """Return the looks of each user who has any, in rising time, without overlaps."""
    count = round(len(population.users) * config.watch_share)
    if not count:
        return {}
    rng = stream(config.seed, "looks")
    viewers = shuffled(rng, population.users)[:count]
    contacts = _contacts(population, frozenset(viewers))
    longest = min(LOOK_S[1] * 1e6, duration_us * 0.5)
    shortest = min(LOOK_S[0] * 1e6, longest * 0.5)
    result: dict[int, tuple[Look, ...]] = {}
    for viewer in viewers:
        known = contacts.get(viewer)
        if not known:
            continue
        planned: list[Look] = []
        cursor = int(rng.random() * longest / 2)
        while cursor < duration_us:
            end = cursor + _between(rng, shortest, longest)
            users = tuple(shuffled(rng, known)[: config.watched])
            planned.append(Look(cursor, min(end, duration_us), users))
            cursor = end + _between(rng, PAUSE_S[0] * 1e6, PAUSE_S[1] * 1e6)
        result[viewer] = tuple(planned)
    return result


def _contacts(population: Population, viewers: frozenset[int]) -> Mapping[int, list[int]]:
    found: defaultdict[int, dict[int, None]] = defaultdict(dict)
    for conversation in population.conversations:
        for viewer in viewers.intersection(conversation.members):
            if len(found[viewer]) < MAX_CONTACTS:
                found[viewer] |= dict.fromkeys(user for user in conversation.members if user != viewer)
    return {viewer: sorted(known) for viewer, known in found.items()}


def keystrokes(
    config: SwarmConfig, sends: Mapping[int, Iterable[tuple[int, int, int]]]
) -> dict[int, tuple[Keystroke, ...]]:
    """Return the keystrokes of each user, in rising time. `sends`: each user's (due_us, conversation, size)."""
    if not config.typing_share:
        return {}
    rng = stream(config.seed, "typing")
    result = {}
    for user in sorted(sends):
        planned = [
            Keystroke(max(0, due_us - _between(rng, TYPING_S[0] * 1e6, TYPING_S[1] * 1e6)), conversation)
            for due_us, conversation, _ in sends[user]
            if rng.random() < config.typing_share
        ]
        if planned:
            result[user] = tuple(sorted(planned))
    return result


def _between(rng: random.Random, low: float, high: float) -> int:
    return int(low + rng.random() * (high - low))
