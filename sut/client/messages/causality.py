"""Order across conversations, for a person: who may be where, by what the model knows, and what a message names.

The order itself is kept by the protocol's machine, the same as the swarm's: what to name in client_dependencies.py,
what to wait for in client_gate.py. The id of a 1:1 conversation follows from its two members, so whoever reads it knows
who talks with whom: it is named only where the other one is known to be a reader too, not for somebody who may be
joining, nor for this user's other devices. A group's id says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sut.client.model import Conversation
from sut.protocol.causal import Dependency
from sut.protocol.frames import Message


class Ties:
    """The Causality (sut.protocol.causal) of one person's device. Reads the model, changes nothing."""

    def __init__(self, conversations: Mapping[int, Conversation]) -> None:
        """`read` and `linked` are set by whoever knows, before the first connection."""
        self._conversations = conversations
        self.read: Callable[[Message], Sequence[Dependency]] = lambda _message: ()
        """Decrypts a message and tells what it names."""
        self.linked: Callable[[], bool] = lambda: False
        """Whether this user has other devices: they read all that this one writes."""

    def named_by(self, message: Message) -> Sequence[Dependency]:
        """What is encrypted in it says so; nothing where that cannot be read yet."""
        return self.read(message)

    def shared(self, conv: int, other: int) -> bool:
        """Whether somebody else who reads the one may be in the other."""
        one, two = self._conversations.get(conv), self._conversations.get(other)
        if one is None or two is None or not (one.known and two.known):
            return True
        if two.direct:
            return two.peer in one.members
        return not one.direct or self.linked() or one.peer in two.members

    def grows(self, conv: int) -> bool:
        """Groups do."""
        one = self._conversations.get(conv)
        return one is None or not one.known or not one.direct

    def may_be_in(self, user: int, conv: int) -> bool:
        """Whether that user is there, or may be joining."""
        return self.grows(conv) or user in self._conversations[conv].members

    def member_of(self, conv: int) -> bool:
        """Whether the service said that this user is, or was."""
        one = self._conversations.get(conv)
        return one is not None and one.known
