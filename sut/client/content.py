"""What a person does in a conversation: writes, changes, takes back. Edits and deletes are messages of their own.

A record names the line it is about by its number; only the author's own count, whoever sends them. msgpack with a tag;
what is not known is not shown.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

MAX_TEXT: Final = 4_000
"""Characters of one text, so that its encryption for some devices fits one body."""
Words = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class Text(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A text."""

    text: Words


class Edit(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """This text instead of the one with number `seq`."""

    seq: Annotated[int, msgspec.Meta(ge=1, le=(1 << 48) - 1)]
    text: Words


class Delete(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The text with number `seq` is taken back."""

    seq: Annotated[int, msgspec.Meta(ge=1, le=(1 << 48) - 1)]


Content = Text | Edit | Delete
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Content] = msgspec.msgpack.Decoder(Content)


def encode(content: Content) -> bytes:
    """As bytes of a payload."""
    return _encoder.encode(content)


def decode(data: bytes) -> Content | None:
    """What they say; None: nothing that this program understands."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
