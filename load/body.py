"""What the swarm's messages say: opaque bytes of realistic sizes, each one unique and checkable.

A body begins with the message's id and the planned time of its send, so whoever shows it knows how long it took from
the moment the workload wanted it sent, without asking the sender. The rest comes from an extendable-output hash of
the seed and the id: the same on every machine.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

_HEAD: Final = struct.Struct("!QQ")
MIN_BODY: Final = _HEAD.size
_ENCRYPTED: Final = b"\x80"
"""First bytes from here on are envelopes': ids of messages are below 2^63."""
CANARY_BYTES: Final = 16
_HASH_MASK: Final = (1 << 63) - 1


def make(*, seed: int, msg: int, due_offset_ns: int, size: int, canary: bytes = b"") -> bytes:
    """The body of message `msg` (history.message_id), planned `due_offset_ns` after t0. `size` is at least MIN_BODY.

    `canary` follows the head, in a body that may become longer by it: of what is encrypted, to be found nowhere else.
    """
    head = _HEAD.pack(msg, due_offset_ns) + canary
    return head + hashlib.shake_128(head + seed.to_bytes(16, "big")).digest(max(0, size - len(head)))


def due_offset_ns(body: bytes) -> int | None:
    """When this message was planned, in ns after t0; None for a body that no swarm made or that is encrypted."""
    if body[:1] >= _ENCRYPTED:
        return None
    return int.from_bytes(body[8:16], "big") if len(body) >= MIN_BODY else None


def digest(body: bytes) -> int:
    """The `hash` of the history: the first 63 bits of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(body, digest_size=8).digest(), "big") & _HASH_MASK
