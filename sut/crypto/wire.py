"""Parses untrusted byte formats: every length is checked, left-over bytes are an error, and all errors are Malformed.

Integers are unsigned and big-endian, as in all frames.
"""

from __future__ import annotations

import struct
from typing import Final

from sut.crypto.errors import Malformed

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_SIZES: Final = {1: struct.Struct("!B"), 2: struct.Struct("!H"), 4: struct.Struct("!I"), 8: struct.Struct("!Q")}


class Reader:
    """Takes fields from the front of some bytes. Every method raises Malformed when too few are left."""

    def __init__(self, data: bytes, what: str) -> None:
        """`what` names the data in errors."""
        self._data = data
        self._at = 0
        self._what = what

    @property
    def at(self) -> int:
        """The number of bytes taken so far."""
        return self._at

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        end = self._at + size
        if end > len(self._data):
            raise Malformed(f"{self._what}: it ends too early")
        part = self._data[self._at : end]
        self._at = end
        return part

    def number(self, size: int) -> int:
        """Return the next integer of 1, 2, 4 or 8 bytes."""
        return int(_SIZES[size].unpack(self.take(size))[0])

    def key(self) -> bytes:
        """Return the next 32 bytes."""
        return self.take(KEY_BYTES)

    def rest(self) -> bytes:
        """Return all remaining bytes."""
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        """Raise Malformed if bytes are left."""
        if self._at != len(self._data):
            raise Malformed(f"{self._what}: {len(self._data) - self._at} bytes too many")


def number(value: int, size: int) -> bytes:
    """Encode an integer as 1, 2, 4 or 8 bytes."""
    return _SIZES[size].pack(value)
