"""Safety numbers: what two people compare to be sure that nobody sits between them.

Signal's numeric fingerprint, version 0: SHA-512 iterated 5,200 times over a user's account key and name, of which 30
digits are shown; the two halves in rising order, so that both people see the same 60 digits. The iterations
make it slow to find another key with the same digits.
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
    """One side's 30 digits. `account_key`: 32 bytes; `name`: what identifies the user, the same at both sides."""
    key = CURVE25519 + account_key
    value = _VERSION + key + name
    for _ in range(ITERATIONS):
        value = hashlib.sha512(value + key).digest()
    chunks = (value[at : at + _CHUNK_BYTES] for at in range(0, _CHUNK_BYTES * _CHUNKS, _CHUNK_BYTES))
    return "".join(f"{int.from_bytes(chunk, 'big') % 100_000:05}" for chunk in chunks)


def safety_number(*, own_key: bytes, own_user: int, other_key: bytes, other_user: int) -> str:
    """The 60 digits that two users compare."""
    return "".join(sorted((half(own_key, name_of(own_user)), half(other_key, name_of(other_user)))))


def device_code(user: int, device: int, identity_key: bytes) -> str:
    """The 30 digits by which a person tells a first device which other one to add: nobody else's key has them."""
    return half(identity_key, f"{user}/{device}".encode())


def name_of(user: int) -> bytes:
    """A user's id as fingerprints have it: decimal digits."""
    return str(user).encode()


def grouped(digits: str) -> str:
    """For reading aloud: groups of five."""
    return " ".join(digits[at : at + _CHUNK_BYTES] for at in range(0, len(digits), _CHUNK_BYTES))
