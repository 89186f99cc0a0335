"""Roles in the plan: creators make members admins and admins members again, and admins do what creators did before.

Added to the planned changes of members, which stay what they are. Only those are named who stay in the group
throughout, so that no change undoes another. Pure.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from load.plan.population import Population, below

if TYPE_CHECKING:
    from load.plan.plan import Change

WINDOW: Final = (0.05, 0.9)
"""Of the run, as for changes of members."""


def add(
    rng: random.Random, population: Population, changes: Sequence[Change], count: int, duration_us: int
) -> tuple[Change, ...]:
    """The changes with `count` changes of roles among them, in rising time; admins ask for half of those after them."""
    from load.plan.plan import Change

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
