"""Causal order in the swarm: memberships from the plan, and the dependencies that a body names.

A person knows the members of their conversations. In the swarm each device takes them from the plan, with everyone who
will join later. A conversation named too many costs 16 bytes; one left out would break the order. A device with real
encryption must decrypt a message before it knows its dependencies.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence, Set

from load.device import body as bodies
from load.plan.changes import Change
from load.plan.plan import Plan
from load.plan.population import Population
from sut.protocol.causal import Dependency
from sut.protocol.frames import Message


def ever(population: Population, changes: Iterable[Change]) -> tuple[frozenset[int], ...]:
    """Return the users who are or will be in each conversation, by its place in the population."""
    found = [set(one.members) for one in population.conversations]
    for change in changes:
        if change.add:
            found[change.conversation].add(change.user)
    return tuple(map(frozenset, found))


class Ties:
    """The users who may be in each conversation, by its id. One object for all devices of a process."""

    def __init__(
        self,
        *,
        founders: Mapping[int, Set[int]],
        ever: Mapping[int, Set[int]],
        growing: Container[int],
        ignore_dependencies: bool = False,
    ) -> None:
        """`founders`: the members at the creation, `ever`: also later ones, `growing`: the groups; by conversation.

        `ignore_dependencies`: the known-bad clients, which name dependencies and do not wait for them.
        """
        self.founders = founders
        self.ever = ever
        self.growing = growing
        self.ignore_dependencies = ignore_dependencies

    @classmethod
    def planned(
        cls, population: Population, plan: Plan, conversations: Sequence[int], *, ignore_dependencies: bool = False
    ) -> Ties:
        """Return the ties of a population, whose conversations have these ids."""
        known = list(zip(conversations, population.conversations, strict=True))
        return cls(
            founders={conv: frozenset(one.members) for conv, one in known},
            ever=dict(zip(conversations, ever(population, plan.changes), strict=True)),
            growing=frozenset(conv for conv, one in known if one.kind == "group"),
            ignore_dependencies=ignore_dependencies,
        )

    def of(self, user: int, read: Callable[[Message], bytes] | None = None) -> Tie:
        """Return the Causality of this user's device.

        `read` decrypts a message, once, in the order of its conversation.
        """
        return Tie(self, user, read)


class Tie:
    """The Causality (sut.protocol.causal) of one device, whose user has no other."""

    __slots__ = ("_read", "_ties", "_user")

    def __init__(self, ties: Ties, user: int, read: Callable[[Message], bytes] | None) -> None:
        self._ties = ties
        self._user = user
        self._read = read

    def named_by(self, message: Message) -> Sequence[Dependency]:
        """The dependencies that the message names; empty until it can be decrypted."""
        if self._ties.ignore_dependencies:
            return ()
        return bodies.dependencies(message.body if self._read is None else self._read(message))

    def shared(self, conv: int, other: int) -> bool:
        """Return True if another user is, was or will be in both conversations."""
        ever = self._ties.ever
        both = ever.get(conv, frozenset()) & ever.get(other, frozenset())
        return len(both) > (self._user in both)

    def grows(self, conv: int) -> bool:
        """Return True for groups, to which members may be added."""
        return conv in self._ties.growing

    def may_be_in(self, user: int, conv: int) -> bool:
        """Return True if that user is, was or will be a member."""
        return user in self._ties.ever.get(conv, frozenset())

    def member_of(self, conv: int) -> bool:
        """Return True if the user of this device was a member from the beginning."""
        return self._user in self._ties.founders.get(conv, frozenset())
