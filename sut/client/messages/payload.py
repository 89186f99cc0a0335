"""What is inside the encryption: who speaks and when, and a content record or what one has to know of a conversation.

A message also names what its sender's device had shown of other conversations (sut.protocol.causal).
The service sees none of it. The sender's name is in every message, because there is no directory to ask; it counts only
if it hashes to the sender's id. Titles and names of groups travel the same way, as an About. msgpack; unknown fields
are ignored, an unknown version is not shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from sut.protocol.causal import MAX_DEPENDENCIES, Dependency, pack, unpack

MAX_TEXT: Final = 4_000
"""Characters of one text."""
MAX_TEXT_BYTES: Final = 8_000
"""... and bytes, so that with all it can name, encrypted for 31 other devices, it fits one body."""
MAX_TITLE: Final = 60
MAX_MS: Final = 4_102_444_800_000
"""The year 2100."""
MAX_NAMES: Final = 500

Name = Annotated[str, msgspec.Meta(max_length=64)]


class About(msgspec.Struct, frozen=True, array_like=True):
    """Of a conversation: its title, and what the people in it are called (id -> name follows from the name)."""

    title: Annotated[str, msgspec.Meta(max_length=MAX_TITLE)]
    names: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MAX_NAMES)]


class Payload(msgspec.Struct, frozen=True, array_like=True):
    """The plaintext of one message. Exactly one of `content` (see sut.protocol.content) and `about` counts."""

    version: int
    name: Name
    """Of the sender."""
    sent_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]
    """By the sender's clock, since 1970."""
    content: bytes = b""
    about: About | None = None
    names: bytes = b""
    """What it names of other conversations, as entries."""
    devices: int = 0
    """Version of the sender's device list: who knows an older one has to look again."""


VERSION: Final = 1
_JOINERS: Final = "\u200c\u200d"
"""Not printable by themselves, and part of emoji and of some scripts."""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Payload)


def encode(payload: Payload) -> bytes:
    """As bytes to be encrypted."""
    return _encoder.encode(payload)


def decode(data: bytes) -> Payload | None:
    """What was encrypted; None: nothing that this program understands."""
    try:
        payload = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return payload if payload.version == VERSION else None


def sent(data: bytes, *, names: Sequence[Dependency] = (), devices: int = 0) -> bytes:
    """The payload that `encode` made, with what is only known when it is sent."""
    return encode(msgspec.structs.replace(_decoder.decode(data), names=pack(names), devices=devices))


def named_by(data: bytes) -> tuple[Dependency, ...]:
    """What a plaintext names; nothing where that is not as it should be."""
    payload = decode(data)
    if payload is None:
        return ()
    try:
        found = unpack(payload.names)
    except ValueError:
        return ()
    return found if len(found) <= MAX_DEPENDENCIES else ()


def clean(text: str) -> str:
    """A text of somebody else's as it may go to a terminal: no control characters, no turned direction, not endless."""
    kept = (letter if letter.isprintable() or letter in "\n" + _JOINERS else "\ufffd" for letter in text[:MAX_TEXT])
    return "".join(kept)
