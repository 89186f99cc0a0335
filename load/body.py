"""What the swarm's messages say: opaque bytes of realistic sizes, each one unique and checkable.

    msg u64, n u8, due u56, n x (conv u64, seq u48, flags u16), the rest        all big-endian

A body begins with the message's id and the planned time of its send (ns after t0), so whoever shows it knows how long
it took from the moment the workload wanted it sent, without asking the sender. Then come the messages of other
conversations that it depends on (sut.protocol.causal), 16 bytes each; a real client has them inside its encryption. The
rest comes from an extendable-output hash of the seed and the head: the same on every machine.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Final

from sut.protocol.causal import ENTRY_SIZE, MAX_DEPENDENCIES, Dependency, pack, unpack

_HEAD: Final = struct.Struct("!QQ")
MIN_BODY: Final = _HEAD.size
_DUE_BITS: Final = 56
_DUE_MASK: Final = (1 << _DUE_BITS) - 1
_HASH_MASK: Final = (1 << 63) - 1


def make(*, seed: int, msg: int, due_offset_ns: int, size: int, dependencies: Sequence[Dependency] = ()) -> bytes:
    """The body of message `msg` (history.message_id), planned `due_offset_ns` after t0.

    `size`: without the dependencies, of which there are at most MAX_DEPENDENCIES; at least MIN_BODY.
    """
    head = _HEAD.pack(msg, len(dependencies) << _DUE_BITS | due_offset_ns)
    rest = hashlib.shake_128(head + seed.to_bytes(16, "big")).digest(size - MIN_BODY)
    return head + pack(dependencies) + rest if dependencies else head + rest


def due_offset_ns(body: bytes) -> int | None:
    """When this message was planned, in ns after t0; None for a body that no swarm made."""
    return int.from_bytes(body[8:16], "big") & _DUE_MASK if len(body) >= MIN_BODY else None


def dependencies(body: bytes) -> tuple[Dependency, ...]:
    """What this message depends on; nothing for a body that no swarm made."""
    count = body[8] if len(body) >= MIN_BODY else 0
    end = MIN_BODY + count * ENTRY_SIZE
    if not count or count > MAX_DEPENDENCIES or len(body) < end:
        return ()
    return unpack(body[MIN_BODY:end])


def digest(body: bytes) -> int:
    """The `hash` of the history: the first 63 bits of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(body, digest_size=8).digest(), "big") & _HASH_MASK
