"""What the parts of the client share: who it is, the model, the state on disk, and the updates for whoever shows it."""

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
    "the keys of {name} have changed: a new device, or somebody in between; "
    "/accept {name} believes them, /safety {name} then shows what to compare"
)


class LineChanged(NamedTuple):
    """A line is new, or another than before (its number, its text)."""

    line: Line
    new: bool


class ConversationChanged(NamedTuple):
    """Its members, title, receipts, typists: everything but its lines."""

    conv: int


class StatusChanged(NamedTuple):
    """Of the connection."""

    status: Status


class PeopleChanged(NamedTuple):
    """Names or presence."""


class Said(NamedTuple):
    """Something to tell the person, one line or several."""

    text: str


Update = LineChanged | ConversationChanged | StatusChanged | PeopleChanged | Said


@dataclass(frozen=True, slots=True)
class MembersOf:
    """To be fetched: who is in this conversation."""

    conv: int


@dataclass(frozen=True, slots=True)
class KeysOf:
    """To be fetched: this user's keys."""

    user: int


@dataclass(frozen=True, slots=True)
class Publish:
    """To be done: publish this device's keys."""


@dataclass(frozen=True, slots=True)
class ReceiptsOf:
    """To be fetched: how far others have come in this conversation."""

    conv: int


Errand = MembersOf | KeysOf | ReceiptsOf | Publish
"""No tuples: those of one number would all be equal, and the second one in line would be taken for the first again."""


@dataclass(slots=True, kw_only=True)
class Core:
    """Shared by the parts of one Chat, and changed only under its lock."""

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
    """Monotonic seconds."""
    wall_ms: Callable[[], int]
    want: Callable[[Errand], None]
    """Have something fetched; asking again while it is under way is harmless."""
    updates: list[Update] = field(default_factory=list)
    """To be told when everything is on disk."""
    online: bool = False
    absent: set[int] = field(default_factory=set)
    """Users who had published no keys when they were last asked for."""
    device_name: str = DEVICE
    """What the person calls this device."""
    device_names: dict[int, str] = field(default_factory=dict)
    """What own other devices are called, of those that were added here."""
    arriving: bool = False
    """This device was just added to those that the person had, and has not been connected yet."""
    earlier: set[int] = field(default_factory=set)
    """Conversations that were there before this device, and in which it has read and written nothing yet."""
    newer: dict[int, int] = field(default_factory=dict)
    """User -> version of their device list, as they said it, that was or is being looked for."""
    front: int = 0
    """The conversation that the person has in front; 0: none."""

    def called(self, user: int) -> str:
        """What to call somebody."""
        return self.names.get(user) or stand_in(user)

    def title(self, one: Conversation) -> str:
        """What to call a conversation."""
        if one.direct and one.peer:
            return self.called(one.peer)
        return one.title or f"group {one.conv:016x}"[:12]

    def recent(self) -> list[Conversation]:
        """All conversations, the one with the newest message first: newest by when it came to this device."""
        return sorted(self.conversations.values(), key=lambda one: (-one.last_row(), one.conv))

    def learn_name(self, user: int, name: str) -> None:
        """Somebody says that this is their name, or what somebody else's is. Counts if it is."""
        if user not in self.names and is_named(user, name):
            self.names[user] = name
            self.state.put_name(user, name)
            self.updates.append(PeopleChanged())

    def conversation(self, conv: int) -> Conversation:
        """The conversation; one that was not known is asked about."""
        one = self.conversations.get(conv) or self.made(conv, direct=False)
        if not one.known and not one.left:
            self.want(MembersOf(conv))
        return one

    def made(self, conv: int, *, direct: bool) -> Conversation:
        """A conversation that was not known."""
        one = self.conversations[conv] = Conversation(conv=conv, direct=direct)
        self.state.put_conversation(one)
        self.updates.append(ConversationChanged(conv))
        if self.arriving:
            self.earlier.add(conv)
            self.state.put_earlier(conv, earlier=True)
        return one

    def in_use(self, conv: int) -> None:
        """This device has read or written something there: what it cannot read from here on, it asks for."""
        if conv in self.earlier:
            self.earlier.remove(conv)
            self.state.put_earlier(conv, earlier=False)

    def line_at(self, one: Conversation, seq: int) -> Line | None:
        """The line of this number, in memory or on disk."""
        found = one.at(seq)
        return found if found is not None or not one.may_be_older(seq) else self.state.line_at(one.conv, seq)

    def line_of(self, one: Conversation, device: int, client_seq: int) -> Line | None:
        """The newest line that came with this idempotency key, in memory or on disk."""
        found = one.line_of(device, client_seq)
        if found is not None or not one.may_be_older(0):
            return found
        return self.state.line_of(one.conv, device, client_seq)

    def line_in(self, one: Conversation, row: int) -> Line | None:
        """The line of this row, in memory or on disk."""
        found = next((line for line in reversed(one.lines) if line.row == row), None)
        return found if found is not None or not one.may_be_older(0) else self.state.line_in(row)

    def drop_line(self, one: Conversation, line: Line) -> None:
        """A line turned out to be none."""
        if line in one.lines:
            one.lines.remove(line)
        self.state.drop_line(line)
        self.updates.append(ConversationChanged(one.conv))

    def put_line(self, one: Conversation, line: Line, *, new: bool) -> None:
        """A line is new or changed."""
        one.put(line)
        self.state.put_line(line)
        self.updates.append(LineChanged(line, new))

    def say(self, text: str) -> None:
        """Tell the person."""
        self.updates.append(Said(text))
