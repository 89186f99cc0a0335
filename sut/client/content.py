"""interim"""

from __future__ import annotations

import msgspec


class Text(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A text."""

    text: str


class Edit(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Another text instead of the one of number seq."""

    seq: int
    text: str


class Delete(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Take back number seq."""

    seq: int


Content = Text | Edit | Delete
_d = msgspec.msgpack.Decoder(Content)


def encode(content: Content) -> bytes:
    """x"""
    return msgspec.msgpack.encode(content)


def decode(data: bytes) -> Content | None:
    """x"""
    try:
        return _d.decode(data)
    except msgspec.DecodeError:
        return None
