"""Safety numbers: two people compare them to be sure that nobody intercepts their messages.

Signal's numeric fingerprint, version 0: SHA-512 iterated 5,200 times over a user's account key and name, shown as 30
digits. The two halves are joined in rising order, so that both people see the same 60 digits. The iterations make it
slow to find another key with the same digits.
"""

from __future__ import annotations

import hashlib
from typing import Final

from sut.crypto.primitives import CURVE25519

ITERATIONS: Final = 5200
_VERSION: Final = b"\0\0"
_CHUNK_BYTES: Final = 5
_CHUNKS: Final = 6


def half(account_key: bytes, name: bytes) -> str:
    """Return one side's 30 digits. `account_key`: 32 bytes; `name`: the user's identifier, the same on both sides."""
    key = CURVE25519 + account_key
    value = _VERSION + key + name
    for _ in range(ITERATIONS):
        value = hashlib.sha512(value + key).digest()
    chunks = (value[at : at + _CHUNK_BYTES] for at in range(0, _CHUNK_BYTES * _CHUNKS, _CHUNK_BYTES))
    return "".join(f"{int.from_bytes(chunk, 'big') % 100_000:05}" for chunk in chunks)


def safety_number(*, own_key: bytes, own_user: int, other_key: bytes, other_user: int) -> str:
    """Return the 60 digits that two users compare."""
    return "".join(sorted((half(own_key, name_of(own_user)), half(other_key, name_of(other_user)))))


def device_code(user: int, device: int, identity_key: bytes) -> str:
    """Return the 30 digits that identify a device to the first device. They depend on its key."""
    return half(identity_key, f"{user}/{device}".encode())


def name_of(user: int) -> bytes:
    """Return a user's id as it enters fingerprints: decimal digits."""
    return str(user).encode()


def grouped(digits: str) -> str:
    """Return the digits in groups of five, for reading aloud."""
    return " ".join(digits[at : at + _CHUNK_BYTES] for at in range(0, len(digits), _CHUNK_BYTES))
