"""The bytes of a message body: one envelope for all devices of the conversation, and its exact size.

    envelope:  0xC1, type u8, ref u64, count u16, count x section, payload (the rest)
    section:   device u64, kind u8 (1 ratchet message, 2 first message), size u16, that many bytes

    type 1 DIRECT    ref: the sending device's own number. The payload is encrypted with a random key. Each section
                     brings one device that key and the payload's digest.
    type 2 GROUP     ref: chain u32, iteration u32 of the sender key. The payload is encrypted with that iteration's
                     key, and ends with the chain's signature over all bytes before it.
    type 3 CONTROL   nothing to show: sections only, and no payload.

A decrypted section starts with a byte that says what it holds:

    1 KEY       payload key 32, SHA-256 of the payload 32
    2 CHAIN     chain u32, iteration u32, chain key 32, signature key 32: a sender key from that iteration on
    3 ASK       n x ref u64: the messages that could not be read; the section opens a new session
    4 KEYS      n x (ref u64, payload key 32, SHA-256 of the payload 32): the answer, message by message

Nothing here is secret or imports a cryptographic library.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final, NamedTuple

from sut.crypto.errors import Malformed
from sut.crypto.wire import KEY_BYTES, SIGNATURE_BYTES, Reader, number

MAGIC: Final = 0xC1
"""The first byte of every envelope, and its version. No other kind of body in this system starts with it."""
MAX_BODY: Final = 16_384
"""The largest body in bytes that the service accepts."""
HEAD_BYTES: Final = 12
SECTION_HEAD_BYTES: Final = 11
TAG_BYTES: Final = 16
RATCHET_OVERHEAD: Final = 40 + TAG_BYTES
OPENING_BYTES: Final = 72
KEY_PLAIN: Final = 1 + 2 * KEY_BYTES
CHAIN_PLAIN: Final = 1 + 8 + 2 * KEY_BYTES
MAX_ASKED: Final = 64
"""The most messages in one ASK or KEYS."""


class Type(IntEnum):
    """The type of an envelope."""

    DIRECT = 1
    GROUP = 2
    CONTROL = 3


class SectionKind(IntEnum):
    """The kind of message in a section."""

    RATCHET = 1
    FIRST = 2


class Say(IntEnum):
    """The content of a decrypted section."""

    KEY = 1
    CHAIN = 2
    ASK = 3
    KEYS = 4


class Section(NamedTuple):
    """The part of an envelope for one device."""

    device: int
    kind: SectionKind
    data: bytes


class Envelope(NamedTuple):
    """A parsed message body."""

    type: Type
    ref: int
    sections: tuple[Section, ...]
    payload: bytes


def is_envelope(body: bytes) -> bool:
    """Return True if a body starts like an envelope."""
    return body[:1] == bytes([MAGIC])


def encode(envelope: Envelope) -> bytes:
    """Return the envelope as a message body."""
    parts = [number(MAGIC, 1), number(envelope.type, 1), number(envelope.ref, 8), number(len(envelope.sections), 2)]
    for device, kind, data in envelope.sections:
        parts += [number(device, 8), number(kind, 1), number(len(data), 2), data]
    return b"".join((*parts, envelope.payload))


def parse(body: bytes) -> Envelope:
    """Parse a message body. Raises Malformed."""
    reader = Reader(body, "envelope")
    if reader.number(1) != MAGIC:
        raise Malformed("envelope: the first byte is of another version or format")
    kind, ref, count = reader.number(1), reader.number(8), reader.number(2)
    if kind not in Type.__members__.values():
        raise Malformed(f"envelope: type {kind} is not known")
    sections = tuple(_section(reader) for _ in range(count))
    payload = reader.rest()
    if (kind == Type.CONTROL) is bool(payload):
        raise Malformed("envelope: control envelopes have no payload, all others have one")
    return Envelope(Type(kind), ref, sections, payload)


def _section(reader: Reader) -> Section:
    device, kind, size = reader.number(8), reader.number(1), reader.number(2)
    if kind not in SectionKind.__members__.values():
        raise Malformed(f"envelope: section kind {kind} is not known")
    return Section(device, SectionKind(kind), reader.take(size))


def section_size(plaintext: int, *, first: bool) -> int:
    """Return the bytes of a section with so much plaintext; `first`: the other device has not answered in this session
    yet.
    """
    return SECTION_HEAD_BYTES + (OPENING_BYTES if first else 0) + RATCHET_OVERHEAD + plaintext


def direct_size(plaintext: int, *, devices: int, first: int = 0) -> int:
    """Return the bytes of a DIRECT envelope for `devices` recipients, `first` of them with first messages."""
    sections = devices * section_size(KEY_PLAIN, first=False) + first * OPENING_BYTES
    return HEAD_BYTES + sections + plaintext + TAG_BYTES


def group_size(plaintext: int, *, new: int = 0, first: int = 0) -> int:
    """Return the bytes of a GROUP envelope that brings the chain to `new` devices, `first` of them with first
    messages.
    """
    sections = new * section_size(CHAIN_PLAIN, first=False) + first * OPENING_BYTES
    return HEAD_BYTES + sections + plaintext + TAG_BYTES + SIGNATURE_BYTES


class Unwrapped(NamedTuple):
    """The payload key of a message, with the digest of the payload that it decrypts."""

    ref: int
    key: bytes
    digest: bytes


def say_key(key: bytes, digest: bytes) -> bytes:
    """Encode a KEY section."""
    return number(Say.KEY, 1) + key + digest


def say_ask(refs: Iterable[int]) -> bytes:
    """Encode an ASK section."""
    return number(Say.ASK, 1) + b"".join(number(ref, 8) for ref in refs)


def say_keys(keys: Iterable[Unwrapped]) -> bytes:
    """Encode a KEYS section."""
    return number(Say.KEYS, 1) + b"".join(number(ref, 8) + key + digest for ref, key, digest in keys)


def read_key(reader: Reader, ref: int) -> Unwrapped:
    """Read the rest of a KEY section. Raises Malformed."""
    unwrapped = Unwrapped(ref, reader.key(), reader.key())
    reader.end()
    return unwrapped


def read_asked(reader: Reader) -> tuple[int, ...]:
    """Read the rest of an ASK section. Raises Malformed."""
    rest = reader.rest()
    if len(rest) % 8 or not 1 <= len(rest) // 8 <= MAX_ASKED:
        raise Malformed("section: not a list of up to 64 refs")
    return tuple(int.from_bytes(rest[at : at + 8], "big") for at in range(0, len(rest), 8))


def read_keys(reader: Reader) -> tuple[Unwrapped, ...]:
    """Read the rest of a KEYS section. Raises Malformed."""
    rest = reader.rest()
    size = 8 + 2 * KEY_BYTES
    if len(rest) % size or len(rest) // size > MAX_ASKED:
        raise Malformed("section: not a list of up to 64 keys")
    entries = (Reader(rest[at : at + size], "section") for at in range(0, len(rest), size))
    return tuple(Unwrapped(entry.number(8), entry.key(), entry.key()) for entry in entries)
