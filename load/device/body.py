"""The bodies of the swarm's messages: opaque bytes of realistic sizes, each one unique and checkable.

    msg u64, t bit, n u7, due u56, n x (conv u64, seq u48, flags u16), canary, the rest        all big-endian

A body begins with the message's id and the planned time of its send (ns after t0). So a device that shows it knows the
latency from the planned send, without asking the sender. The messages of other conversations that it depends on follow
(sut.protocol.causal), 16 bytes each, and a canary if there is one. With t the rest is the text of a Locust user's task
(load/user.py), in UTF-8. Without it the rest comes from an extendable-output hash of the seed, the head and the canary:
the same on every machine. A device with real encryption (crypto.py) encrypts it all.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from sut.protocol.causal import ENTRY_SIZE, MAX_DEPENDENCIES, Dependency, pack, unpack
from sut.protocol.frames import MAX_BODY

_HEAD: Final = struct.Struct("!QQ")
MIN_BODY: Final = _HEAD.size
_DUE_BITS: Final = 56
_DUE_MASK: Final = (1 << _DUE_BITS) - 1
_TEXT: Final = 0x80
assert MAX_DEPENDENCIES < _TEXT
_ENCRYPTED: Final = b"\x80"
"""First byte of envelopes, or above: ids of messages are below 2^63."""
CANARY_BYTES: Final = 16
MAX_TEXT: Final = MAX_BODY - MIN_BODY - MAX_DEPENDENCIES * ENTRY_SIZE - CANARY_BYTES
"""Bytes that a text may always have."""
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
    text: bytes | None = None,
) -> bytes:
    """Return the body of message `msg` (history.message_id), planned `due_offset_ns` after t0.

    `size` is without the dependencies, of which there are at most MAX_DEPENDENCIES; at least MIN_BODY. `canary` marks a
    body that is encrypted; it must be found nowhere else, and may make the body longer. `text` replaces the noise.
    """
    count = len(dependencies) | (_TEXT if text is not None else 0)
    head = _HEAD.pack(msg, count << _DUE_BITS | due_offset_ns)
    if text is not None:
        return b"".join((head, pack(dependencies), canary, text))
    rest = hashlib.shake_128(head + canary + seed.to_bytes(16, "big")).digest(max(0, size - len(head) - len(canary)))
    return b"".join((head, pack(dependencies), canary, rest))


def due_offset_ns(body: bytes) -> int | None:
    """Return the planned time of the message, in ns after t0; None if no swarm made it or it is encrypted."""
    return int.from_bytes(body[8:16], "big") & _DUE_MASK if _is_ours(body) else None


def dependencies(body: bytes) -> tuple[Dependency, ...]:
    """Return the dependencies of the message; empty if no swarm made it or it is encrypted."""
    count = body[8] & ~_TEXT if _is_ours(body) else 0
    end = MIN_BODY + count * ENTRY_SIZE
    if not count or count > MAX_DEPENDENCIES or len(body) < end:
        return ()
    return unpack(body[MIN_BODY:end])


def text(body: bytes, *, canary: int = 0) -> str:
    """Return the text of a task's message, behind a canary of so many bytes; empty if the message has none."""
    if not _is_ours(body) or not body[8] & _TEXT:
        return ""
    return body[MIN_BODY + (body[8] & ~_TEXT) * ENTRY_SIZE + canary :].decode("utf-8", "replace")


def _is_ours(body: bytes) -> bool:
    return len(body) >= MIN_BODY and body[:1] < _ENCRYPTED


def digest(body: bytes) -> int:
    """Return the `hash` of the history: the first 63 bits of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(body, digest_size=8).digest(), "big") & _HASH_MASK
