"""The plan of membership and role changes in groups, made from the seed. Pure.

Role changes are added to the membership changes, which stay as they are. Only users who stay in the group throughout
get a role, so that no change undoes another.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from load.plan.population import Population, below

WINDOW: Final = (0.05, 0.9)
"""The part of the run, as fractions of it, in which changes are made."""


class Change(NamedTuple):
    """A change of members, or of a role, that a group's creator (or `by`, if not 0) requests at `at_us` after t0."""

    at_us: int
    conversation: int
    user: int
    add: bool
    """True for a role too: its user is a member before and after."""
    role: str = ""
    by: int = 0


def members(rng: random.Random, population: Population, count: int, cap: int, duration_us: int) -> tuple[Change, ...]:
    """Return adds and removes in turn, spread over WINDOW; never of the creator, never above the cap."""
    groups = [i for i, c in enumerate(population.conversations) if c.kind == "group" and len(c.members) >= 3]
    if not groups:
        return ()
    members = {i: set(population.conversations[i].members) for i in groups}
    removed: defaultdict[int, list[int]] = defaultdict(list)
    changes: list[Change] = []
    for turn in range(count):
        at_us = int(duration_us * (0.05 + 0.85 * (turn + rng.random()) / count))
        group = groups[below(rng, len(groups))]
        creator = population.conversations[group].creator
        if turn % 2 == 0:
            leavers = sorted(members[group] - {creator})
            if len(leavers) < 2:
                continue
            user = leavers[below(rng, len(leavers))]
            members[group].discard(user)
            removed[group].append(user)
        else:
            if len(members[group]) >= cap:
                continue
            if removed[group] and rng.random() < 0.5:
                user = removed[group].pop()
            else:
                user = population.users[below(rng, len(population.users))]
            if user in members[group]:
                continue
            members[group].add(user)
        changes.append(Change(at_us, group, user, turn % 2 == 1))
    return tuple(changes)


def roles(
    rng: random.Random, population: Population, changes: Sequence[Change], count: int, duration_us: int
) -> tuple[Change, ...]:
    """Return the changes with `count` role changes among them, in rising time.

    Admins request half of the changes after their appointment.
    """
    leaving = {(change.conversation, change.user) for change in changes}
    staying = {
        place: [user for user in sorted(group.members) if user != group.creator and (place, user) not in leaving]
        for place, group in enumerate(population.conversations)
        if group.kind == "group"
    }
    groups = [place for place, users in staying.items() if users]
    named: list[Change] = []
    for _ in range(count if groups else 0):
        group = groups[below(rng, len(groups))]
        user = staying[group][below(rng, len(staying[group]))]
        at_us = int(duration_us * (WINDOW[0] + (WINDOW[1] - WINDOW[0]) * rng.random()))
        named.append(Change(at_us, group, user, True, "admin"))
    admins: defaultdict[int, list[int]] = defaultdict(list)
    result: list[Change] = []
    for change in sorted([*changes, *named], key=lambda change: change.at_us):
        here = admins[change.conversation]
        if change.role:
            if change.user in here:
                here.remove(change.user)
                result.append(change._replace(role="member"))
            else:
                here.append(change.user)
                result.append(change)
        elif here and rng.random() < 0.5:
            result.append(change._replace(by=here[below(rng, len(here))]))
        else:
            result.append(change)
    return tuple(result)
