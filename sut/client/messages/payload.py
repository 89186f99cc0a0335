"""The encrypted content of a message: sender name, time, and a content record or information about a conversation.

A message also names the messages of other conversations that its sender had seen (sut.protocol.causal). The service
sees none of it. Every message carries the sender's name, because there is no directory. The name is accepted only if it
hashes to the sender's id. Titles and names of groups travel the same way, in an About. The format is msgpack; unknown
fields are ignored, and an unknown version is not shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from sut.protocol.causal import MAX_DEPENDENCIES, Dependency, pack, unpack

MAX_TEXT: Final = 4_000
"""The largest number of characters in one text."""
MAX_TEXT_BYTES: Final = 8_000
"""The largest number of bytes in one text. With its dependencies, encrypted for 31 other devices, it fits one body."""
MAX_TITLE: Final = 60
MAX_MS: Final = 4_102_444_800_000
"""The start of the year 2100, in Unix milliseconds."""
MAX_NAMES: Final = 500

Name = Annotated[str, msgspec.Meta(max_length=64)]


class About(msgspec.Struct, frozen=True, array_like=True):
    """The title of a conversation and the names of its members. The id of each follows from the name."""

    title: Annotated[str, msgspec.Meta(max_length=MAX_TITLE)]
    names: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MAX_NAMES)]


class Payload(msgspec.Struct, frozen=True, array_like=True):
    """The plaintext of one message. Exactly one of `content` (see sut.protocol.content) and `about` counts."""

    version: int
    name: Name
    """The name of the sender."""
    sent_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]
    """Unix time in milliseconds, by the sender's clock."""
    content: bytes = b""
    about: About | None = None
    names: bytes = b""
    """The dependencies on other conversations, packed (sut.protocol.causal.pack)."""
    devices: int = 0
    """The version of the sender's device list. A recipient that knows an older one fetches it again."""


VERSION: Final = 1
_JOINERS: Final = "\u200c\u200d"
"""Joiners are not printable by themselves, but are part of emoji and of some scripts."""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Payload)


def encode(payload: Payload) -> bytes:
    """Return the payload as bytes to encrypt."""
    return _encoder.encode(payload)


def decode(data: bytes) -> Payload | None:
    """Return the payload in a decrypted plaintext; None if this program does not understand it."""
    try:
        payload = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return payload if payload.version == VERSION else None


def sent(data: bytes, *, names: Sequence[Dependency] = (), devices: int = 0) -> bytes:
    """Return the encoded payload `data` with the fields that are known only when it is sent."""
    return encode(msgspec.structs.replace(_decoder.decode(data), names=pack(names), devices=devices))


def named_by(data: bytes) -> tuple[Dependency, ...]:
    """Return the dependencies that a plaintext names; empty if they are malformed or too many."""
    payload = decode(data)
    if payload is None:
        return ()
    try:
        found = unpack(payload.names)
    except ValueError:
        return ()
    return found if len(found) <= MAX_DEPENDENCIES else ()


def clean(text: str) -> str:
    """Return a text of another user made safe for a terminal: at most MAX_TEXT characters, no control characters.

    Characters that are not printable, such as changes of the writing direction, become U+FFFD.
    """
    kept = (letter if letter.isprintable() or letter in "\n" + _JOINERS else "\ufffd" for letter in text[:MAX_TEXT])
    return "".join(kept)
