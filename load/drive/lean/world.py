"""The population and the plan as a fleet's processes know them: flat arrays, shared by all that are forked.

`pack` makes them once, in a process that ends afterwards. Nothing in them has a reference count of its own, so that
reading copies no page. A device's plan and a conversation's members become objects while somebody looks at them.
"""

from __future__ import annotations

import marshal
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final, overload

from load.device.causality import Ties, ever
from load.plan import plan as plans
from load.plan import population as populations
from load.plan.people import Keystroke, Look
from load.plan.plan import Absence, DevicePlan, Plan, PlannedSend
from load.plan.population import Population
from load.workload import SwarmConfig

_MARSHAL: Final = 2
_CACHED: Final = 256
"""Conversations whose members are kept as sets."""
_SENDS: Final = {"due_us": "q", "conversation": "I", "size": "I", "sends_from": "I"}
_MEMBERS: Final = {"members": "I", "members_from": "I", "later": "I", "later_from": "I"}
_ARRAYS: Final = {**_SENDS, **_MEMBERS, "first_us": "q", "others_from": "Q"}
_NEVER_US: Final = (1 << 63) - 1


def pack(config: SwarmConfig, worker: int, workers: int) -> bytes:
    """Return the devices of one worker and all conversations, for World."""
    population = populations.make(config)
    plan = plans.make(config, population)
    return packed(population, plan, [its for _, its in sorted(plan.share(worker, workers).items())])


def packed(population: Population, plan: Plan, share: Sequence[DevicePlan]) -> bytes:
    """Return the devices with these plans, and all conversations, for World."""
    sends = [send for its in share for send in its.sends]
    others = [_others(its) for its in share]
    later = ever(population, plan.changes)
    known = population.conversations
    joined = [sorted(all_ - set(one.members)) for all_, one in zip(later, known, strict=True)]
    values: dict[str, Sequence[int]] = {
        "due_us": [send.due_us for send in sends],
        "conversation": [send.conversation for send in sends],
        "size": [send.size for send in sends],
        "sends_from": list(accumulate((len(its.sends) for its in share), initial=0)),
        "members": [user for one in known for user in one.members],
        "members_from": list(accumulate((len(one.members) for one in known), initial=0)),
        "later": [user for users in joined for user in users],
        "later_from": list(accumulate((len(users) for users in joined), initial=0)),
        "first_us": [_first_us(its) for its in share],
        "others_from": list(accumulate(map(len, others), initial=0)),
    }
    flat: dict[str, bytes] = {name: array(kind, values[name]).tobytes() for name, kind in _ARRAYS.items()}
    return marshal.dumps(
        flat | {"others": b"".join(others), "groups": bytes(one.kind == "group" for one in known)}, _MARSHAL
    )


def _others(its: DevicePlan) -> bytes:
    parts = [[tuple(item) for item in part] for part in (its.absences, its.keystrokes, its.looks)]
    return marshal.dumps(parts, _MARSHAL) if any(parts) else b""


def _first_us(its: DevicePlan) -> int:
    """Return when the first thing in the plan of a device is due after t0."""
    times = [send.due_us for send in its.sends[:1]] + [stroke.at_us for stroke in its.keystrokes[:1]]
    times += [look.from_us for look in its.looks[:1]] + [away.from_us for away in its.absences if away.from_us >= 0][:1]
    return min(times, default=_NEVER_US)


class _Sends(Sequence[PlannedSend]):
    """The sends of one device."""

    __slots__ = ("_from", "_len", "_world")

    def __init__(self, world: World, row: int) -> None:
        self._world = world
        self._from = world.sends_from[row]
        self._len = world.sends_from[row + 1] - self._from

    def __len__(self) -> int:
        return self._len

    @overload
    def __getitem__(self, place: int) -> PlannedSend: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[PlannedSend]: ...
    def __getitem__(self, place: int | slice) -> PlannedSend | Sequence[PlannedSend]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(self._len))]
        if not 0 <= place < self._len:
            raise IndexError(place)
        at = self._from + place
        return PlannedSend(self._world.due_us[at], self._world.conversation[at], self._world.size[at])


class World:
    """What `pack` made. The rows are the devices of the worker, by rising id."""

    def __init__(self, packed: bytes, conversations: Sequence[int]) -> None:
        """`conversations`: their ids, by place."""
        found: dict[str, bytes] = marshal.loads(packed)  # noqa: S302 (this program wrote it)
        arrays = {name: array(kind) for name, kind in _ARRAYS.items()}
        for name, its in arrays.items():
            its.frombytes(found[name])
        self.due_us, self.conversation, self.size = arrays["due_us"], arrays["conversation"], arrays["size"]
        self.sends_from = arrays["sends_from"]
        self._first_us = arrays["first_us"]
        self._others, self._others_from = found["others"], arrays["others_from"]
        self._groups = found["groups"]
        self._members, self._members_from = arrays["members"], arrays["members_from"]
        self._later, self._later_from = arrays["later"], arrays["later_from"]
        self.conversations = array("Q", conversations)
        order = sorted(range(len(conversations)), key=conversations.__getitem__)
        self._places = array("I", order)
        self._sorted = array("Q", (conversations[place] for place in order))
        self._sets = lru_cache(_CACHED)(self._set)

    @property
    def rows(self) -> int:
        """The number of devices."""
        return len(self.sends_from) - 1

    def plan(self, row: int) -> DevicePlan:
        """Return the plan of a device."""
        start, end = self._others_from[row], self._others_from[row + 1]
        sends = _Sends(self, row)
        if start == end:
            return DevicePlan(sends=sends)
        absences, keystrokes, looks = marshal.loads(self._others[start:end])  # noqa: S302 (`pack` wrote it)
        return DevicePlan(
            sends=sends,
            absences=tuple(Absence(*one) for one in absences),
            keystrokes=tuple(Keystroke(*one) for one in keystrokes),
            looks=tuple(Look(*one) for one in looks),
        )

    def first_us(self, row: int) -> int | None:
        """Return when the first thing in the plan of a device is due after t0; None: it has nothing to do."""
        at_us = self._first_us[row]
        return None if at_us == _NEVER_US else at_us

    def planned(self, row: int) -> int:
        """Return the number of sends of a device."""
        return self.sends_from[row + 1] - self.sends_from[row]

    def ties(self, *, ignore_dependencies: bool) -> Ties:
        """Return the users who may be in each conversation."""
        return Ties(
            founders=Members(self, later=False),
            ever=Members(self, later=True),
            growing=Groups(self),
            ignore_dependencies=ignore_dependencies,
        )

    def place_of(self, conv: int) -> int | None:
        """Return the place of a conversation in the population; None if it is none of them."""
        at = bisect_left(self._sorted, conv)
        return self._places[at] if at < len(self._sorted) and self._sorted[at] == conv else None

    def is_group(self, place: int) -> bool:
        """Return True for a group."""
        return bool(self._groups[place])

    def size_of(self, place: int) -> int:
        """Return the number of founders."""
        return self._members_from[place + 1] - self._members_from[place]

    def members(self, place: int, *, later: bool) -> frozenset[int]:
        """Return the founders, `later` with those who join during the run."""
        return self._sets(place, later)

    def _set(self, place: int, later: bool) -> frozenset[int]:
        users = self._members[self._members_from[place] : self._members_from[place + 1]].tolist()
        if later:
            users += self._later[self._later_from[place] : self._later_from[place + 1]]
        return frozenset(users)


class _ByConversation:
    def __init__(self, world: World) -> None:
        self._world = world

    def __contains__(self, conv: object) -> bool:
        return isinstance(conv, int) and self._world.place_of(conv) is not None

    def __iter__(self) -> Iterator[int]:
        return iter(self._world.conversations)

    def __len__(self) -> int:
        return len(self._world.conversations)


class Members(_ByConversation, Mapping[int, frozenset[int]]):
    """Conversation -> its members."""

    def __init__(self, world: World, *, later: bool) -> None:
        super().__init__(world)
        self._later = later

    def __getitem__(self, conv: int) -> frozenset[int]:
        place = self._world.place_of(conv)
        if place is None:
            raise KeyError(conv)
        return self._world.members(place, later=self._later)


class Recipients(_ByConversation, Mapping[int, int]):
    """Conversation -> the recipients of a message to it, as planned, without membership changes."""

    def __getitem__(self, conv: int) -> int:
        place = self._world.place_of(conv)
        if place is None:
            raise KeyError(conv)
        return self._world.size_of(place) - 1


class Groups:
    """The conversations that are groups."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __contains__(self, conv: object) -> bool:
        place = self._world.place_of(conv) if isinstance(conv, int) else None
        return place is not None and self._world.is_group(place)
