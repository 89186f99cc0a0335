"""The data that the parts of the client share: identity, model, state on disk, and updates for the user interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sut.client.device.state import State
from sut.client.messages.cipher import Cipher
from sut.client.model import Conversation, Line, Presence
from sut.client.names import DEVICE, is_named, stand_in
from sut.client.service.link import Status
from sut.protocol.device.client import Client

CHANGED: Final = (
    "the keys of {name} have changed: a new device, or somebody intercepts your messages; "
    "/accept {name} accepts the new keys, /safety {name} then shows the number to compare"
)


class LineChanged(NamedTuple):
    """A line is new or has changed (its sequence number or its text)."""

    line: Line
    new: bool


class ConversationChanged(NamedTuple):
    """The members, title, receipts or typists of a conversation have changed. Its lines have not."""

    conv: int


class StatusChanged(NamedTuple):
    """The connection has another status now."""

    status: Status


class PeopleChanged(NamedTuple):
    """A user's name or presence has changed."""


class Said(NamedTuple):
    """A text to show to the person, of one or more lines."""

    text: str


Update = LineChanged | ConversationChanged | StatusChanged | PeopleChanged | Said


@dataclass(frozen=True, slots=True)
class MembersOf:
    """Errand: fetch the members of this conversation."""

    conv: int


@dataclass(frozen=True, slots=True)
class KeysOf:
    """Errand: fetch the keys of this user."""

    user: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Errand: publish the keys of this device."""


@dataclass(frozen=True, slots=True)
class ReceiptsOf:
    """Errand: fetch the receipts of the other members of this conversation."""

    conv: int


Errand = MembersOf | KeysOf | ReceiptsOf | Publish
"""Dataclasses, not named tuples: tuples of different errands with the same number would be equal, so one
would be lost.
"""


@dataclass(slots=True, kw_only=True)
class Core:
    """The shared data of one Chat. It is changed only under the lock of that Chat."""

    me: int
    name: str
    device: int
    state: State
    machine: Client
    cipher: Cipher
    conversations: dict[int, Conversation]
    names: dict[int, str]
    presence: dict[int, Presence] = field(default_factory=dict)
    clock: Callable[[], float]
    """The monotonic clock, in seconds."""
    wall_ms: Callable[[], int]
    want: Callable[[Errand], None]
    """Queues an errand. Queueing one that is already queued has no effect."""
    updates: list[Update] = field(default_factory=list)
    """The updates to pass to the listener once everything is on disk."""
    online: bool = False
    absent: set[int] = field(default_factory=set)
    """Users who had no published keys when their keys were last fetched."""
    device_name: str = DEVICE
    """The name that the person gave to this device."""
    device_names: dict[int, str] = field(default_factory=dict)
    """Device id -> name, for the person's other devices that were linked on this one."""
    arriving: bool = False
    """True from the linking of this device until its first connection."""
    earlier: set[int] = field(default_factory=set)
    """Conversations that are older than this device, in which it has read and written nothing yet."""
    newer: dict[int, int] = field(default_factory=dict)
    """User -> the version of their device list that they announced and that is being fetched."""
    front: int = 0
    """The conversation that the person is looking at; 0 for none."""

    def called(self, user: int) -> str:
        """Return the user's name, or a stand-in if it is not known."""
        return self.names.get(user) or stand_in(user)

    def title(self, one: Conversation) -> str:
        """Return the conversation's title, or the name of the other user in a 1:1 conversation."""
        if one.direct and one.peer:
            return self.called(one.peer)
        return one.title or f"group {one.conv:016x}"[:12]

    def recent(self) -> list[Conversation]:
        """Return all conversations, the one with the newest message first. "Newest" is the order of arrival at this
        device.
        """
        return sorted(self.conversations.values(), key=lambda one: (-one.last_row(), one.conv))

    def learn_name(self, user: int, name: str) -> None:
        """Store the name of a user if its hash is the user's id; ignore any other name."""
        if user not in self.names and is_named(user, name):
            self.names[user] = name
            self.state.put_name(user, name)
            self.updates.append(PeopleChanged())

    def conversation(self, conv: int) -> Conversation:
        """Return the conversation. One that is not known yet is created, and its members are fetched."""
        one = self.conversations.get(conv) or self.made(conv, direct=False)
        if not one.known and not one.left:
            self.want(MembersOf(conv))
        return one

    def made(self, conv: int, *, direct: bool) -> Conversation:
        """Create the conversation `conv`, which must not be known yet."""
        one = self.conversations[conv] = Conversation(conv=conv, direct=direct)
        self.state.put_conversation(one)
        self.updates.append(ConversationChanged(conv))
        if self.arriving:
            self.earlier.add(conv)
            self.state.put_earlier(conv, earlier=True)
        return one

    def in_use(self, conv: int) -> None:
        """Note that this device has read or written in the conversation. From now on it asks senders for what it cannot
        read.
        """
        if conv in self.earlier:
            self.earlier.remove(conv)
            self.state.put_earlier(conv, earlier=False)

    def line_at(self, one: Conversation, seq: int) -> Line | None:
        """Return the line with this sequence number, from memory or from disk."""
        found = one.at(seq)
        return found if found is not None or not one.may_be_older(seq) else self.state.line_at(one.conv, seq)

    def line_of(self, one: Conversation, device: int, client_seq: int) -> Line | None:
        """Return the newest line with this idempotency key, from memory or from disk."""
        found = one.line_of(device, client_seq)
        if found is not None or not one.may_be_older(0):
            return found
        return self.state.line_of(one.conv, device, client_seq)

    def line_in(self, one: Conversation, row: int) -> Line | None:
        """Return the line with this row number, from memory or from disk."""
        found = next((line for line in reversed(one.lines) if line.row == row), None)
        return found if found is not None or not one.may_be_older(0) else self.state.line_in(row)

    def drop_line(self, one: Conversation, line: Line) -> None:
        """Remove a line that has nothing to show."""
        if line in one.lines:
            one.lines.remove(line)
        self.state.drop_line(line)
        self.updates.append(ConversationChanged(one.conv))

    def put_line(self, one: Conversation, line: Line, *, new: bool) -> None:
        """Store a line that is new or has changed, and queue the update."""
        one.put(line)
        self.state.put_line(line)
        self.updates.append(LineChanged(line, new))

    def say(self, text: str) -> None:
        """Queue a text for the person."""
        self.updates.append(Said(text))
