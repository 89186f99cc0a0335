"""Causal order across conversations for a person's client: who may be in a conversation, and what a message names.

The protocol machine keeps the order, as it does for the swarm: sut/protocol/device/dependencies.py decides what to
name, gate.py what to wait for. The id of a 1:1 conversation follows from its two members, so it reveals who talks with
whom. It is therefore named only where its other member is known to be a reader too. A user who may be joining and this
user's other devices do not count. The id of a group reveals nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sut.client.model import Conversation
from sut.protocol.causal import Dependency
from sut.protocol.frames import Message


class Ties:
    """Implements Causality (sut.protocol.causal) for one person's device. Reads the model and changes nothing."""

    def __init__(self, conversations: Mapping[int, Conversation]) -> None:
        """The owner must set `read` and `linked` before the first connection."""
        self._conversations = conversations
        self.read: Callable[[Message], Sequence[Dependency]] = lambda _message: ()
        """Decrypts a message and returns the dependencies that it names."""
        self.linked: Callable[[], bool] = lambda: False
        """Returns True if this user has other devices. They read everything that this device writes."""

    def named_by(self, message: Message) -> Sequence[Dependency]:
        """Return the dependencies in the encrypted part of the message; empty if it cannot be decrypted yet."""
        return self.read(message)

    def shared(self, conv: int, other: int) -> bool:
        """Return True if another user may read `conv` and be a member of `other`."""
        one, two = self._conversations.get(conv), self._conversations.get(other)
        if one is None or two is None or not (one.known and two.known):
            return True
        if two.direct:
            return two.peer in one.members
        return not one.direct or self.linked() or one.peer in two.members

    def grows(self, conv: int) -> bool:
        """Return True if the conversation is a group, or may be one."""
        one = self._conversations.get(conv)
        return one is None or not one.known or not one.direct

    def may_be_in(self, user: int, conv: int) -> bool:
        """Return True if that user is a member, or may be joining."""
        return self.grows(conv) or user in self._conversations[conv].members

    def member_of(self, conv: int) -> bool:
        """Return True if the service has named this user as a present or former member."""
        one = self._conversations.get(conv)
        return one is not None and one.known
