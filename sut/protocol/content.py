"""The content of a body: text, and edits, deletions and reactions that refer to earlier messages.

The service never reads a body, least of all an encrypted one. So an edit is a message like any other: it has a sequence
number, and clients apply it in that order. This is the plaintext, before encryption:

    version u8 (1), kind u8, then by kind
    0 TEXT    text (UTF-8, to the end)
    1 EDIT    target, text
    2 DELETE  target
    3 REACT   target, reaction (UTF-8, to the end, at most 64 bytes; empty takes the reaction back)
    target:   device u64, client_seq u64: the idempotency key of the message meant. Its author knows it before the
              sequence number, and no retry changes it

`apply` defines the meaning, as a pure function. Only the author's devices may edit and delete; anybody who sees a
message may react to it. All clients ignore content that breaks these rules, refers to an unknown message, or has an
unknown kind or version. So all clients that see the same messages show the same conversation.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType
from typing import Final

VERSION: Final = 1
MAX_REACTION: Final = 64
_HEAD: Final = struct.Struct("!BB")
_TARGET: Final = struct.Struct("!QQ")


class Kind(IntEnum):
    """The kind byte of a content."""

    TEXT = 0
    EDIT = 1
    DELETE = 2
    REACT = 3


@dataclass(frozen=True, slots=True)
class Target:
    """The message that an edit, a deletion or a reaction refers to, by its idempotency key."""

    device: int
    client_seq: int


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a new message."""

    text: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces the text of the target."""

    target: Target
    text: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Removes the text of the target. The message itself stays visible as deleted."""

    target: Target


@dataclass(frozen=True, slots=True)
class React:
    """The user's reaction to the target. It replaces an earlier one of the same user."""

    target: Target
    reaction: str


Content = Text | Edit | Delete | React


class ContentError(ValueError):
    """The bytes are not a content that this client knows; the text says why. A reader shows or skips the message."""


def encode(content: Content) -> bytes:
    """Return the plaintext of a body. Raises ContentError for a reaction that is too long."""
    match content:
        case Text(text):
            return _HEAD.pack(VERSION, Kind.TEXT) + text.encode()
        case Edit(target, text):
            return _HEAD.pack(VERSION, Kind.EDIT) + _TARGET.pack(target.device, target.client_seq) + text.encode()
        case Delete(target):
            return _HEAD.pack(VERSION, Kind.DELETE) + _TARGET.pack(target.device, target.client_seq)
        case React(target, reaction):
            data = reaction.encode()
            if len(data) > MAX_REACTION:
                raise ContentError(f"a reaction of {len(data)} bytes; {MAX_REACTION} are allowed")
            return _HEAD.pack(VERSION, Kind.REACT) + _TARGET.pack(target.device, target.client_seq) + data


def decode(plaintext: bytes) -> Content:
    """Parse the plaintext of a body. Raises ContentError."""
    if len(plaintext) < _HEAD.size or plaintext[0] != VERSION:
        raise ContentError("unknown content version")
    kind, rest = plaintext[1], plaintext[_HEAD.size :]
    try:
        if kind == Kind.TEXT:
            return Text(rest.decode())
        target = Target(*_TARGET.unpack_from(rest))
        text = rest[_TARGET.size :].decode()
    except struct.error:
        raise ContentError("cut short") from None
    except UnicodeDecodeError:
        raise ContentError("text that is not UTF-8") from None
    match kind:
        case Kind.EDIT:
            return Edit(target, text)
        case Kind.DELETE if not text:
            return Delete(target)
        case Kind.REACT if len(rest) - _TARGET.size <= MAX_REACTION:
            return React(target, text)
        case _:
            raise ContentError(f"kind {kind} is unknown or malformed")


@dataclass(frozen=True, slots=True)
class Shown:
    """A message of a conversation as its readers see it now."""

    seq: int
    user: int
    target: Target
    """The idempotency key of this message, by which later messages refer to it."""
    text: str
    edited: int = 0
    """The sequence number of the last edit; 0 if there is none."""
    deleted: bool = False
    reactions: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    """User -> their reaction."""


Conversation = Mapping[Target, Shown]
"""The messages of one conversation, in the order of their sequence numbers."""


def apply(
    conversation: Conversation, *, seq: int, user: int, device: int, client_seq: int, content: Content
) -> Shown | None:
    """Return the message as changed by this content, to be stored under its `target`; None if nothing changes.

    Call it once for each message, in rising `seq`.
    """
    target = Target(device, client_seq)
    if isinstance(content, Text):  # if the service numbered it twice, the first counts
        return None if target in conversation else Shown(seq, user, target, content.text)
    meant = conversation.get(content.target)
    if meant is None or meant.deleted:
        return None
    if isinstance(content, React):
        others = {who: what for who, what in meant.reactions.items() if who != user}
        changed = others | ({user: content.reaction} if content.reaction else {})
        return replace(meant, reactions=MappingProxyType(changed))
    if meant.user != user:
        return None
    if isinstance(content, Edit):
        return replace(meant, text=content.text, edited=seq)
    return replace(meant, text="", deleted=True, reactions=MappingProxyType({}))
