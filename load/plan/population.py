"""The population: users, 1:1 pairs and groups, and how active each is. Pure and seeded.

Shapes: the activity of users and conversations falls off with rank as 1 / (rank + q) (Zipf-Mandelbrot): a few are busy
and most quiet. Group sizes are log-normal, as measured for online groups (arXiv:2206.06732, "Universal growth of social
groups"). Here the median is 6, sizes are from 2 to the cap, and one group has the cap. The share of group messages
follows from the mean number of recipients that the configuration asks for.

The same seed gives the same population on every machine. All randomness comes from `random.Random.random`, whose
sequence Python promises to keep. Decisions use only exactly rounded arithmetic (no pow, exp or log on the way).
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import exp, log
from statistics import NormalDist
from typing import Final, Literal, TypeVar

from msgspec import structs

from load.device.body import MIN_BODY
from load.workload import SwarmConfig

MEAN_BODY: Final = 150
MAX_BODY: Final = 2000
_SIGMA_BODY: Final = 0.9
_MEDIAN_GROUP: Final = 6
_SIGMA_GROUP: Final = 1.0
_GROUP_SHARE_BOUNDS: Final = (0.02, 0.9)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A 1:1 pair or a group, before the API has given it an id."""

    key: str
    """The idempotency key of its creation."""
    kind: Literal["direct", "group"]
    members: tuple[int, ...]
    """The members at the creation; the first one creates it."""
    weight: float
    """Its share of all messages; the weights of a population add up to 1. 0: no member ever sends."""

    @property
    def creator(self) -> int:
        """The user who creates it and manages its members."""
        return self.members[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """All users and conversations.

    A conversation is named by its place in `conversations` until the API has given it an id.
    """

    first_id: int
    activity: tuple[float, ...]
    """How much each user sends, relative to the others; 0 for silent readers."""
    conversations: tuple[Conversation, ...]

    @property
    def users(self) -> range:
        """All user ids; each has one device with the same id."""
        return range(self.first_id, self.first_id + len(self.activity))

    def activity_of(self, user: int) -> float:
        """Return how much this user sends, relative to the others."""
        return self.activity[user - self.first_id]


def stream(seed: int, name: str) -> random.Random:
    """Return an independent random stream for one purpose."""
    return random.Random(f"petrel/{seed}/{name}")


def below(rng: random.Random, bound: int) -> int:
    """Return a uniform integer in [0, bound)."""
    return int(rng.random() * bound)


def shuffled(rng: random.Random, items: Iterable[T]) -> list[T]:
    """Return the items in random order (Fisher-Yates)."""
    result = list(items)
    for i in range(len(result) - 1, 0, -1):
        j = below(rng, i + 1)
        result[i], result[j] = result[j], result[i]
    return result


class Weighted:
    """Draws indexes with given weights, by bisection of their running sums."""

    def __init__(self, weights: Iterable[float]) -> None:
        self._sums: Sequence[float] = list(accumulate(weights))
        self.total = self._sums[-1] if self._sums else 0.0

    def draw(self, rng: random.Random) -> int:
        """Return a random index. The total must be above 0."""
        return min(bisect_right(self._sums, rng.random() * self.total), len(self._sums) - 1)


def _log_normal(count: int, *, median: float, sigma: float, low: int, high: int) -> tuple[int, ...]:
    """Return `count` rounded, bounded quantiles of a log-normal distribution, rising: a sample without noise."""
    normal = NormalDist()
    values = (exp(log(median) + sigma * normal.inv_cdf((i + 0.5) / count)) for i in range(count))
    return tuple(min(high, max(low, round(value))) for value in values)


BODY_SIZES: Final = _log_normal(
    1024, median=MEAN_BODY / exp(_SIGMA_BODY**2 / 2), sigma=_SIGMA_BODY, low=MIN_BODY, high=MAX_BODY
)
"""Sizes of bodies to draw from uniformly: log-normal with a mean of 150 bytes, bounded.

Python's floats give the same sizes on every machine: no quantile is near enough to a half to flip with the last bit of
`exp`.
"""


def make(config: SwarmConfig) -> Population:
    """Return the population of a configuration."""
    if config.sends != "plan" and 1 < config.at_start < config.users - 1:
        return _side_by_side(config)
    users = config.users
    ids = range(config.first_id, config.first_id + users)
    activity = _ranked(stream(config.seed, "activity"), users)
    for index in shuffled(stream(config.seed, "silent"), range(users))[: int(users * config.silent_share)]:
        activity[index] = 0.0
    active = frozenset(user for user, weight in zip(ids, activity, strict=True) if weight)
    directs = _pairs(stream(config.seed, "pairs"), ids, round(users * config.directs_per_user))
    groups = _groups(
        stream(config.seed, "groups"), ids, round(users * config.groups_per_user), min(config.group_cap, users)
    )
    # A larger group sees more messages, but not in proportion to its size.
    direct_weights = _weights(stream(config.seed, "direct-ranks"), directs, active, [1.0] * len(directs))
    group_weights = _weights(stream(config.seed, "group-ranks"), groups, active, [len(g) ** 0.5 for g in groups])
    share = _group_share(groups, group_weights, config.recipients) if sum(direct_weights) else 1.0
    if not sum(group_weights):
        share = 0.0
    tag = f"petrel/{config.seed}/{config.first_id}"
    conversations = [
        Conversation(key=f"{tag}/direct/{i}", kind="direct", members=members, weight=weight * (1 - share))
        for i, (members, weight) in enumerate(zip(directs, direct_weights, strict=True))
    ] + [
        Conversation(key=f"{tag}/group/{i}", kind="group", members=members, weight=weight * share)
        for i, (members, weight) in enumerate(zip(groups, group_weights, strict=True))
    ]
    return Population(first_id=config.first_id, activity=tuple(activity), conversations=tuple(conversations))


def _side_by_side(config: SwarmConfig) -> Population:
    """Return those at the start, and those who may be added, as two populations without common conversations."""
    start = config.at_start
    first = make(structs.replace(config, users=start, at_start=0))
    rest = structs.replace(config, users=config.users - start, at_start=0, first_id=config.first_id + start)
    other = make(rest)
    total = config.users
    weighed = [
        replace(one, weight=one.weight * len(part.activity) / total)
        for part in (first, other)
        for one in part.conversations
    ]
    return Population(first_id=config.first_id, activity=first.activity + other.activity, conversations=tuple(weighed))


def _ranked(rng: random.Random, count: int) -> list[float]:
    """Return Zipf-Mandelbrot weights in random order; q keeps the busiest few from dominating."""
    q = max(1, count // 10)
    return shuffled(rng, [1.0 / (rank + q) for rank in range(1, count + 1)])


def _pairs(rng: random.Random, ids: range, count: int) -> list[tuple[int, ...]]:
    """Return distinct pairs, spread so that (if there are enough) every user is in one; fewer if not so many exist."""
    users = len(ids)
    wanted = min(count, users * (users - 1) // 2)
    order = shuffled(rng, ids)
    pairs: dict[tuple[int, int], None] = {}
    for turn in range(20 * wanted):
        if len(pairs) == wanted:
            break
        if turn * 2 < users:  # the first round pairs neighbours of a random order, so every user gets a pair
            one, other = order[turn * 2], order[(turn * 2 + 1) % users]
        else:
            one, other = order[turn % users], ids[below(rng, users)]
        if one != other:
            pairs.setdefault((min(one, other), max(one, other)))
    return list(pairs)


def _groups(rng: random.Random, ids: range, count: int, cap: int) -> list[tuple[int, ...]]:
    """Return member lists, creator first, of log-normal sizes; the largest has `cap` members."""
    if cap < 2 or count == 0:
        return []
    sizes = list(_log_normal(count, median=_MEDIAN_GROUP, sigma=_SIGMA_GROUP, low=2, high=cap))
    sizes[-1] = cap
    groups = []
    for size in shuffled(rng, sizes):
        members: dict[int, None] = {}
        while len(members) < size:
            members.setdefault(ids[below(rng, len(ids))])
        groups.append(tuple(members))
    return groups


def _weights(
    rng: random.Random, members: Sequence[tuple[int, ...]], active: frozenset[int], factors: Sequence[float]
) -> list[float]:
    """Return relative weights that add up to 1; 0 for a conversation in which nobody sends."""
    ranked = _ranked(rng, len(members))
    raw = [
        weight * factor if active.intersection(group) else 0.0
        for weight, factor, group in zip(ranked, factors, members, strict=True)
    ]
    total = sum(raw)
    return [weight / total for weight in raw] if total else raw


def _group_share(groups: Sequence[tuple[int, ...]], weights: Sequence[float], recipients: float) -> float:
    """Return the share of group messages that gives the mean number of recipients, within _GROUP_SHARE_BOUNDS."""
    low, high = _GROUP_SHARE_BOUNDS
    in_groups = sum(weight * (len(members) - 1) for members, weight in zip(groups, weights, strict=True))
    if in_groups <= recipients:
        return high
    return min(high, max(low, (recipients - 1) / (in_groups - 1)))
