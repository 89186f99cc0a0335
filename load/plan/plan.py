"""The plan of sends, absences and group changes of every device, made in advance from the seed.

Sends are a Poisson process, conditioned on its expected number of events, so that a run has the operations that its
configuration asks for. Times are uniform, the conversation is drawn by its weight, the sender among its members by
activity. Latency counts from these planned times, so a stall of the system (or of the swarm) is not hidden.

No send is planned while a device is planned to be offline, nor PAUSE_US before or after. No send is planned to a group
after the user was removed, or if the user joined it during the run. Pure; the same for a seed on every machine. Each of
several workers computes the whole plan and takes its share.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from load.plan import changes as groups
from load.plan import people
from load.plan.changes import Change
from load.plan.mobile import Mobile, mobile
from load.plan.people import Keystroke, Look
from load.plan.population import BODY_SIZES, Population, Weighted, below, shuffled, stream
from load.workload import SwarmConfig

US: Final = 1_000_000
ALWAYS_US: Final = -(1 << 62)
"""`from_us` of an absence that begins before the run: the device comes later."""
SHORTEST_AWAY_S: Final = 8.0
"""Shortest absence in s, unless the longest is below 20 s."""
PAUSE_US: Final = 1 * US
"""No sends are planned in the last second before an absence and the first after it."""
LATECOMERS: Final = 0.2
"""Share of the devices with absences that start offline."""
_REDRAWS: Final = 50


class PlannedSend(NamedTuple):
    """A message to send at `due_us` after t0, to the conversation at that place in the population."""

    due_us: int
    conversation: int
    size: int


class Absence(NamedTuple):
    """Planned offline time in us after t0. `clean`: with a WebSocket close; else the connection just ends."""

    from_us: int
    to_us: int
    clean: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePlan:
    """The plan of one device. Each part is in rising time; absences do not touch each other, looks do not overlap."""

    sends: Sequence[PlannedSend] = ()
    absences: tuple[Absence, ...] = ()
    keystrokes: tuple[Keystroke, ...] = ()
    looks: tuple[Look, ...] = ()
    mobile: Mobile | None = None
    """None: it reaches the gateways directly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan of every device, and the changes of groups."""

    devices: Mapping[int, DevicePlan]
    """The plans by device id, with every device."""
    changes: tuple[Change, ...]
    """The changes of groups in rising time."""

    def share(self, worker: int, workers: int) -> dict[int, DevicePlan]:
        """Return the devices of one worker: those with (id - 1) % workers == worker."""
        return {device: plan for device, plan in self.devices.items() if (device - 1) % workers == worker}


def make(config: SwarmConfig, population: Population) -> Plan:
    """Return the plan of a configuration, whose population was made from the same one."""
    if config.sends == "tasks":
        return Plan(devices=dict.fromkeys(population.users, DevicePlan()), changes=())
    duration_us = round(config.duration_s * US)
    absences = _absences(stream(config.seed, "absences"), population, config.offline_share, config.away_s, duration_us)
    changes = _members(config, population)
    sends = _sends(
        stream(config.seed, "sends"),
        population,
        counts=config.sends_of_steps,
        duration_us=duration_us,
        absences=absences,
        changes=changes,
    )
    changes = _with_roles(config, population, changes)
    on_the_move = mobile(config, population, duration_us)
    keystrokes, looks = people.keystrokes(config, sends), people.looks(config, population, duration_us)
    devices = {
        user: DevicePlan(
            sends=tuple(sends.get(user, ())),
            absences=absences.get(user, ()),
            keystrokes=keystrokes.get(user, ()),
            looks=looks.get(user, ()),
            mobile=on_the_move.get(user),
        )
        for user in population.users
    }
    return Plan(devices=devices, changes=changes)


def changes(config: SwarmConfig, population: Population) -> tuple[Change, ...]:
    """Return the changes of groups of the plan, without the plans of the devices."""
    return _with_roles(config, population, _members(config, population))


def _members(config: SwarmConfig, population: Population) -> tuple[Change, ...]:
    rng, duration_us = stream(config.seed, "changes"), round(config.duration_s * US)
    return groups.members(rng, population, config.churn, config.group_cap, duration_us)


def _with_roles(config: SwarmConfig, population: Population, changes: tuple[Change, ...]) -> tuple[Change, ...]:
    if not config.roles:
        return changes
    rng, duration_us = stream(config.seed, "roles"), round(config.duration_s * US)
    return groups.roles(rng, population, changes, config.roles, duration_us)


def _absences(
    rng: random.Random, population: Population, share: float, longest_s: float, duration_us: int
) -> dict[int, tuple[Absence, ...]]:
    """Return the absences of a share of the devices. All end a while before the last send."""
    longest = min(longest_s * US, duration_us * 0.25)
    shortest = min(SHORTEST_AWAY_S * US, longest * 0.4)
    last_back = int(duration_us * 0.9)
    result = {}
    count = round(len(population.users) * share)
    for turn, user in enumerate(shuffled(rng, population.users)[:count]):
        away: list[Absence] = []
        if turn < count * LATECOMERS:
            cursor = int(shortest + rng.random() * (longest - shortest))
            away.append(Absence(ALWAYS_US, cursor, True))
        else:
            cursor = int(rng.random() * longest)
        while True:
            start = cursor + int(shortest + rng.random() * (longest - shortest))
            end = start + int(shortest + rng.random() * (longest - shortest))
            if end > last_back:
                break
            away.append(Absence(start, end, rng.random() < 0.5))
            cursor = end
        if away:
            result[user] = tuple(away)
    return result


class _Presence:
    """The times at which each person may send."""

    def __init__(self, absences: Mapping[int, tuple[Absence, ...]]) -> None:
        self._edges = {
            user: [edge for away in plan for edge in (away.from_us - PAUSE_US, away.to_us + PAUSE_US)]
            for user, plan in absences.items()
        }
        for edges in self._edges.values():
            # Absences closer than the pauses: the time between counts as away.
            assert all(a <= b for a, b in pairwise(edges[::2]))

    def may_write(self, user: int, at_us: int) -> bool:
        """Return True if no absence, widened by its pauses, covers this time."""
        edges = self._edges.get(user)
        if edges is None:
            return True
        place = bisect_right(edges[::2], at_us)
        return place == 0 or at_us >= edges[2 * place - 1]


def _times(rng: random.Random, counts: Sequence[int], duration_us: int) -> list[int]:
    """Return the times of the sends, in order; `counts`: how many in each of the equal parts of the run."""
    part_us = duration_us // len(counts)
    return sorted(place * part_us + below(rng, part_us) for place, count in enumerate(counts) for _ in range(count))


def _sends(
    rng: random.Random,
    population: Population,
    *,
    counts: Sequence[int],
    duration_us: int,
    absences: Mapping[int, tuple[Absence, ...]],
    changes: tuple[Change, ...],
) -> dict[int, list[PlannedSend]]:
    """Return the sends of each sender, in rising time."""
    conversations = Weighted(c.weight for c in population.conversations)
    if not conversations.total:
        return {}
    senders: dict[int, Weighted] = {}  # of the conversations that were drawn: most of a large population are not
    presence = _Presence(absences)
    left: dict[tuple[int, int], int] = {}
    for change in reversed(changes):
        left[change.conversation, change.user] = change.at_us
    sends: defaultdict[int, list[PlannedSend]] = defaultdict(list)
    for due_us in _times(rng, counts, duration_us):
        for _ in range(_REDRAWS):
            place = conversations.draw(rng)
            conversation = population.conversations[place]
            if place not in senders:
                senders[place] = Weighted(population.activity_of(user) for user in conversation.members)
            user = conversation.members[senders[place].draw(rng)]
            if presence.may_write(user, due_us) and due_us < left.get((place, user), due_us + 1):
                size = BODY_SIZES[below(rng, len(BODY_SIZES))]
                sends[user].append(PlannedSend(due_us, place, size))
                break
    return sends
