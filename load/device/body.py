"""The bodies of the swarm's messages: opaque bytes of realistic sizes, each one unique and checkable.

    msg u64, n u8, due u56, n x (conv u64, seq u48, flags u16), canary, the rest        all big-endian

A body begins with the message's id and the planned time of its send (ns after t0). So a device that shows it knows the
latency from the planned send, without asking the sender. The messages of other conversations that it depends on follow
(sut.protocol.causal), 16 bytes each, and a canary if there is one. The rest comes from an extendable-output hash of the
seed, the head and the canary: the same on every machine. A device with real encryption (crypto.py) encrypts it all.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from sut.protocol.causal import ENTRY_SIZE, MAX_DEPENDENCIES, Dependency, pack, unpack

_HEAD: Final = struct.Struct("!QQ")
MIN_BODY: Final = _HEAD.size
_DUE_BITS: Final = 56
_DUE_MASK: Final = (1 << _DUE_BITS) - 1
_ENCRYPTED: Final = b"\x80"
"""First byte of envelopes, or above: ids of messages are below 2^63."""
CANARY_BYTES: Final = 16
_HASH_MASK: Final = (1 << 63) - 1


class Draft(NamedTuple):
    """A message before its body is made."""

    conv: int
    msg: int
    """The id of the message, load.history.events.message_id."""
    due_offset_ns: int
    """The planned time of its send, in ns after t0."""
    size: int


def make(
    *,
    seed: int,
    msg: int,
    due_offset_ns: int,
    size: int,
    canary: bytes = b"",
    dependencies: Sequence[Dependency] = (),
) -> bytes:
    """Return the body of message `msg` (history.message_id), planned `due_offset_ns` after t0.

    `size` is without the dependencies, of which there are at most MAX_DEPENDENCIES; at least MIN_BODY. `canary` marks a
    body that is encrypted; it must be found nowhere else, and may make the body longer.
    """
    head = _HEAD.pack(msg, len(dependencies) << _DUE_BITS | due_offset_ns)
    rest = hashlib.shake_128(head + canary + seed.to_bytes(16, "big")).digest(max(0, size - len(head) - len(canary)))
    return b"".join((head, pack(dependencies), canary, rest))


def due_offset_ns(body: bytes) -> int | None:
    """Return the planned time of the message, in ns after t0; None if no swarm made it or it is encrypted."""
    return int.from_bytes(body[8:16], "big") & _DUE_MASK if _is_ours(body) else None


def dependencies(body: bytes) -> tuple[Dependency, ...]:
    """Return the dependencies of the message; empty if no swarm made it or it is encrypted."""
    count = body[8] if _is_ours(body) else 0
    end = MIN_BODY + count * ENTRY_SIZE
    if not count or count > MAX_DEPENDENCIES or len(body) < end:
        return ()
    return unpack(body[MIN_BODY:end])


def _is_ours(body: bytes) -> bool:
    return len(body) >= MIN_BODY and body[:1] < _ENCRYPTED


def digest(body: bytes) -> int:
    """Return the `hash` of the history: the first 63 bits of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(body, digest_size=8).digest(), "big") & _HASH_MASK
