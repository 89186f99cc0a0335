"""What the clients put into a body: text, and edits, deletions and reactions that refer to earlier messages.

The service never looks inside a body, least of all an encrypted one, so an edit is a message like any other: it takes a
number, and clients apply it in the order of the numbers. This is the plaintext, before encryption:

    version u8 (1), kind u8, then by kind
    0 TEXT    text (UTF-8, to the end)
    1 EDIT    target, text
    2 DELETE  target
    3 REACT   target, reaction (UTF-8, to the end, at most 64 bytes; empty takes the reaction back)
    target:   device u64, client_seq u64: the idempotency key of the message meant, which its author knows before its
              number, and which no retry changes

`apply` is the whole meaning, a pure function. Who may: only the author's devices edit and delete; anybody who sees a
message reacts to it. What breaks these rules, refers to nothing seen, or is of a kind or version not known is ignored
by all clients alike, so all who see the same numbers show the same.
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
    """The kind byte."""

    TEXT = 0
    EDIT = 1
    DELETE = 2
    REACT = 3


@dataclass(frozen=True, slots=True)
class Target:
    """The message meant."""

    device: int
    client_seq: int


@dataclass(frozen=True, slots=True)
class Text:
    """A new message."""

    text: str


@dataclass(frozen=True, slots=True)
class Edit:
    """The target's text is this from here on."""

    target: Target
    text: str


@dataclass(frozen=True, slots=True)
class Delete:
    """The target has no text from here on; that it was there stays visible."""

    target: Target


@dataclass(frozen=True, slots=True)
class React:
    """The user's reaction to the target, instead of an earlier one of the same user."""

    target: Target
    reaction: str


Content = Text | Edit | Delete | React


class ContentError(ValueError):
    """Bytes that are no content this client knows; the text says why. A reader shows or skips them, and goes on."""


def encode(content: Content) -> bytes:
    """The plaintext of a body. Raises ContentError for a reaction that is too long."""
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
    """What a body says. Raises ContentError."""
    if len(plaintext) < _HEAD.size or plaintext[0] != VERSION:
        raise ContentError("no content of a version that is known")
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
            raise ContentError(f"kind {kind} is not known, or not so")


@dataclass(frozen=True, slots=True)
class Shown:
    """A message of a conversation as its readers see it now."""

    seq: int
    user: int
    target: Target
    """Itself, as later messages refer to it."""
    text: str
    edited: int = 0
    """The number of the last edit; 0: none."""
    deleted: bool = False
    reactions: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    """User -> reaction."""


Conversation = Mapping[Target, Shown]
"""The messages of one conversation, in the order of their numbers."""


def apply(
    conversation: Conversation, *, seq: int, user: int, device: int, client_seq: int, content: Content
) -> Shown | None:
    """What the message that took this number changes: put it at its `target`. None: nothing.

    To be called in rising `seq`, once a number.
    """
    target = Target(device, client_seq)
    if isinstance(content, Text):  # a message has one number: of a service that gave it another, the first counts
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
