"""The state of one conversation in its sequencer, and the outcomes of a record. Plain data; see rule.py."""

from __future__ import annotations

from dataclasses import dataclass, field

from sut.ports import ConversationImage, ConversationRow, Role, RoleMark, SenderMark, Span, StoredMessage
from sut.protocol.frames import Nack

DIRECT = "d"
GROUP = "g"
MANAGED = "m"
"""A group to which only admins add."""


@dataclass(slots=True)
class Conversation:
    """The state of one conversation. Changed only by `apply`."""

    conv: int
    kind: str
    creator: int
    head: int = 0
    applied: int = 0
    """Log offset of the last record applied: records up to it are already in this state."""
    spans: dict[int, list[Span]] = field(default_factory=dict)
    """User -> stays in order; at most the last one is open."""
    marks: dict[int, SenderMark] = field(default_factory=dict)
    """The dedup state of each device."""
    roles: dict[int, RoleMark] = field(default_factory=dict)
    """User -> role, if a change set it; see `role_of`."""

    @classmethod
    def from_image(cls, image: ConversationImage) -> Conversation:
        """Return the state that was stored as `image`."""
        row = image.row
        state = cls(row.conv, row.kind, row.creator, row.head, row.applied)
        for span in sorted(image.spans, key=lambda s: s.first):
            state.spans.setdefault(span.user, []).append(span)
        state.marks = {mark.device: mark for mark in image.marks}
        state.roles = {mark.user: mark for mark in image.roles}
        return state

    def image(self) -> ConversationImage:
        """Return the state in the form for the store."""
        spans = tuple(span for spans in self.spans.values() for span in spans)
        return ConversationImage(self.row(), spans, tuple(self.marks.values()), tuple(self.roles.values()))

    def row(self) -> ConversationRow:
        """Return the stored part without spans, marks and roles."""
        return ConversationRow(self.conv, self.kind, self.creator, self.head, self.applied)

    def members(self) -> list[int]:
        """Return the present members."""
        return [user for user, spans in self.spans.items() if spans[-1].end == 0]

    def is_member(self, user: int) -> bool:
        """Return True if the user is a member now."""
        spans = self.spans.get(user)
        return spans is not None and spans[-1].end == 0

    def role_of(self, user: int) -> Role:
        """Return this user's role; MEMBER also for a user who is no member."""
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
    """Roles that changed with the record."""


@dataclass(frozen=True, slots=True)
class Created:
    """A new conversation exists; no number was taken."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """The record was applied before, or changes nothing: answer with the number it took then (0: none)."""

    seq: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The record is definitely not in the conversation, now or later."""

    code: Nack
    highest: int = field(default=0, compare=False)
    """With STALE and REUSED: the highest client_seq that this sequencer knows of the device."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The state already contains the record, and no answer to it is known any more."""


Outcome = Sequenced | Created | Repeated | Refused | Replayed
