"""Reading byte formats without trust: every length is checked, what is left over is an error, all errors are one kind.

Integers are unsigned and big-endian, as on the rest of the wire.
"""

from __future__ import annotations

import struct
from typing import Final

from sut.crypto.errors import Malformed

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_SIZES: Final = {1: struct.Struct("!B"), 2: struct.Struct("!H"), 4: struct.Struct("!I"), 8: struct.Struct("!Q")}


class Reader:
    """Takes fields off the front of some bytes. Every method raises Malformed when there is not enough left."""

    def __init__(self, data: bytes, what: str) -> None:
        """`what` names it in errors."""
        self._data = data
        self._at = 0
        self._what = what

    @property
    def at(self) -> int:
        """How many bytes were taken."""
        return self._at

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        end = self._at + size
        if end > len(self._data):
            raise Malformed(f"{self._what}: it ends too early")
        part = self._data[self._at : end]
        self._at = end
        return part

    def number(self, size: int) -> int:
        """The next integer of 1, 2, 4 or 8 bytes."""
        return int(_SIZES[size].unpack(self.take(size))[0])

    def key(self) -> bytes:
        """The next 32 bytes."""
        return self.take(KEY_BYTES)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        """There must be nothing left."""
        if self._at != len(self._data):
            raise Malformed(f"{self._what}: {len(self._data) - self._at} bytes too many")


def number(value: int, size: int) -> bytes:
    """An integer as 1, 2, 4 or 8 bytes."""
    return _SIZES[size].pack(value)
