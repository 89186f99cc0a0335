"""Decrypts bodies: first the sections, which may bring keys, then the payload. Data that is not genuine changes
nothing.

A section can be read only once, because its key is then gone. So its payload key is kept until the payload was
decrypted: a spoiled payload in one copy does not make the good copy unreadable.
"""

from __future__ import annotations

from typing import NamedTuple

from sut.crypto import envelope as envelopes
from sut.crypto import primitives
from sut.crypto.envelope import Envelope, Say, SectionKind, Type, Unwrapped
from sut.crypto.errors import CryptoError, Malformed, Refused, Repeated, Unreadable
from sut.crypto.keyring import MAX_FOLLOWED, MAX_LATE, Keyring, keep
from sut.crypto.peer_sessions import Address
from sut.crypto.sealing import Place, payload_context, section_context, signed_context
from sut.crypto.sender_key import Follower, read_distribution
from sut.crypto.wire import SIGNATURE_BYTES, Reader


class Opened(NamedTuple):
    """The content of a body for this device."""

    plaintext: bytes | None
    """None if there is nothing to show."""
    asked: tuple[int, ...] = ()
    """The refs of own messages that the sender could not read; see `Account.answer`."""
    unlocked: tuple[int, ...] = ()
    """The refs of earlier messages of the sender that can be read now: open them again."""
    ref: int = 0
    """The sending device's number of the message."""


def open_body(ring: Keyring, conv: int, sender: Address, body: bytes) -> Opened:
    """Decrypt a body. Raises Malformed, Refused, Unreadable, Repeated, NoSession, IdentityChanged."""
    envelope = envelopes.parse(body)
    late = ring.late.get((conv, sender[1], envelope.ref))
    if late is not None:
        plaintext = _open_payload(envelope, conv, sender, late)
        del ring.late[conv, sender[1], envelope.ref]
        return Opened(plaintext, ref=envelope.ref)
    asked, unlocked, problem = _read_sections(ring, conv, sender, envelope)
    if envelope.type is Type.CONTROL:
        if problem is not None:
            raise problem
        return Opened(None, asked, unlocked, envelope.ref)
    if envelope.type is Type.GROUP:
        plaintext = _open_group(ring, conv, sender, body=body, problem=problem)
        return Opened(plaintext, asked, unlocked, envelope.ref)
    place = (conv, sender[1], envelope.ref)
    key = ring.late.get(place)
    if key is None:
        raise problem or Unreadable("it is not addressed to this device")
    plaintext = _open_payload(envelope, conv, sender, key)
    del ring.late[place]
    return Opened(plaintext, asked, unlocked, envelope.ref)


def _read_sections(
    ring: Keyring, conv: int, sender: Address, envelope: Envelope
) -> tuple[tuple[int, ...], tuple[int, ...], CryptoError | None]:
    """Return (asked refs, unlocked refs, error) from the sections for this device.

    The error is the last one, or None.
    """
    asked: list[int] = []
    unlocked: list[int] = []
    problem: CryptoError | None = None
    for section in envelope.sections:
        if section.device != ring.address[1]:
            continue
        context = section_context(Place(envelope.type, conv, envelope.ref), sender, ring.address)
        peer = ring.peer(sender)
        try:
            said = peer.open(first=section.kind is SectionKind.FIRST, data=section.data, bound=context)
        except (Unreadable, Refused, Repeated, Malformed) as error:
            problem = error
            continue
        reader = Reader(said, "section")
        match reader.number(1):
            case Say.KEY:
                key = envelopes.read_key(reader, envelope.ref)
                keep(ring.late, (conv, sender[1], envelope.ref), key, MAX_LATE)
            case Say.CHAIN:
                follower = ring.followers.get((conv, sender[1])) or Follower()
                follower.follow(read_distribution(reader))
                keep(ring.followers, (conv, sender[1]), follower, MAX_FOLLOWED)
            case Say.ASK:
                asked += envelopes.read_asked(reader)
            case Say.KEYS:
                for found in envelopes.read_keys(reader):
                    keep(ring.late, (conv, sender[1], found.ref), found, MAX_LATE)
                    unlocked.append(found.ref)
            case other:
                raise Malformed(f"section: it says {other}, which is not known")
    return tuple(asked), tuple(unlocked), problem


def _open_group(ring: Keyring, conv: int, sender: Address, *, body: bytes, problem: CryptoError | None) -> bytes:
    """Decrypt with the sender's chain: check the signature, decrypt the payload, then advance the chain."""
    envelope = envelopes.parse(body)
    follower = ring.followers.get((conv, sender[1]))
    if follower is None:
        raise problem or Unreadable("sender key: none of this device in this conversation")
    chain_number, iteration = envelope.ref >> 32, envelope.ref & 0xFFFFFFFF
    try:
        chain = follower.chain(chain_number)
    except Unreadable:
        raise problem or Unreadable("sender key: this chain was not given to this device, or is too old") from None
    signed = signed_context(conv, sender) + body[:-SIGNATURE_BYTES]
    primitives.check_signed_with(chain.signature_key, signed, body[-SIGNATURE_BYTES:], what="group message")
    key = chain.key_of(iteration)
    context = payload_context(Place(Type.GROUP, conv, envelope.ref), sender)
    plaintext = primitives.open_once(key, envelope.payload[:-SIGNATURE_BYTES], context, what="payload")
    chain.used(iteration)
    return plaintext


def _open_payload(envelope: Envelope, conv: int, sender: Address, key: Unwrapped) -> bytes:
    """Decrypt with a key from a pairwise session. The key came with the digest of the payload that it may decrypt."""
    if primitives.digest(envelope.payload) != key.digest:
        raise Refused("payload: it is not the one that the key was sent for")
    ciphertext = envelope.payload[:-SIGNATURE_BYTES] if envelope.type is Type.GROUP else envelope.payload
    context = payload_context(Place(envelope.type, conv, envelope.ref), sender)
    return primitives.open_once(key.key, ciphertext, context, what="payload")
