"""The state of one conversation as its sequencer has it, and what may become of a record. Plain data; see rule.py."""

from __future__ import annotations

from dataclasses import dataclass, field

from sut.ports import ConversationImage, ConversationRow, Role, RoleMark, SenderMark, Span, StoredMessage
from sut.protocol.frames import Nack

DIRECT = "d"
GROUP = "g"
MANAGED = "m"
"""A group to which only its admins add."""


@dataclass(slots=True)
class Conversation:
    """The state of one conversation. Changed only by `apply`."""

    conv: int
    kind: str
    creator: int
    head: int = 0
    applied: int = 0
    """Log offset of the last record applied here: what is at or below it is already in this state."""
    spans: dict[int, list[Span]] = field(default_factory=dict)
    """By user, in order; at most the last one is open."""
    marks: dict[int, SenderMark] = field(default_factory=dict)
    """By device."""
    roles: dict[int, RoleMark] = field(default_factory=dict)
    """By user; see `role_of`."""

    @classmethod
    def from_image(cls, image: ConversationImage) -> Conversation:
        """The state as it was stored."""
        row = image.row
        state = cls(row.conv, row.kind, row.creator, row.head, row.applied)
        for span in sorted(image.spans, key=lambda s: s.first):
            state.spans.setdefault(span.user, []).append(span)
        state.marks = {mark.device: mark for mark in image.marks}
        state.roles = {mark.user: mark for mark in image.roles}
        return state

    def image(self) -> ConversationImage:
        """The state as it is to be stored."""
        spans = tuple(span for spans in self.spans.values() for span in spans)
        return ConversationImage(self.row(), spans, tuple(self.marks.values()), tuple(self.roles.values()))

    def row(self) -> ConversationRow:
        """What is stored of it beside spans and marks."""
        return ConversationRow(self.conv, self.kind, self.creator, self.head, self.applied)

    def members(self) -> list[int]:
        """Who is a member now."""
        return [user for user, spans in self.spans.items() if spans[-1].end == 0]

    def is_member(self, user: int) -> bool:
        """Whether the user is a member now."""
        spans = self.spans.get(user)
        return spans is not None and spans[-1].end == 0

    def role_of(self, user: int) -> Role:
        """What this user may do. Who is no member has no role either."""
        mark = self.roles.get(user)
        if mark is not None:
            return Role(mark.role)
        return Role.OWNER if user == self.creator and self.is_member(user) else Role.MEMBER


@dataclass(frozen=True, slots=True)
class Sequenced:
    """The record took number `message.seq`. Store it, answer the sender, notify the members."""

    message: StoredMessage
    span: Span | None = None
    """The stay that a membership change opened or closed."""
    roles: tuple[RoleMark, ...] = ()
    """Roles that changed with it."""


@dataclass(frozen=True, slots=True)
class Created:
    """A new conversation exists; no number was taken."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """Seen before, or already so: answer with the number it took then (0: it took none)."""

    seq: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Definitely not in the conversation, now or later."""

    code: Nack
    highest: int = field(default=0, compare=False)
    """Of STALE and REUSED: the highest client_seq of the device here."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A record that this state already contains, and that asks for no answer that could still be told."""


Outcome = Sequenced | Created | Repeated | Refused | Replayed
