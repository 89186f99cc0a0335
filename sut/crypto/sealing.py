"""Encrypts: envelopes for 1:1 conversations and for groups, and control envelopes.

The functions change the Keyring. The caller must save it before it sends anything (account.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sut.crypto import envelope as envelopes
from sut.crypto import primitives
from sut.crypto.envelope import MAX_BODY, Envelope, Section, SectionKind, Type, Unwrapped
from sut.crypto.errors import NoSession, TooLarge, Unreadable
from sut.crypto.keyring import MAX_SENT, Keyring, keep
from sut.crypto.peer_sessions import MAX_ASKS, Address
from sut.crypto.sender_key import OwnChain, new_chain, ref_of
from sut.crypto.wire import SIGNATURE_BYTES, number

MAX_CHAINS_OWN: Final = 5_000
"""The groups whose own sending chain a device remembers."""


class Place(NamedTuple):
    """The place of an encryption: the type of its envelope, the conversation and the ref."""

    kind: Type
    conv: int
    ref: int

    @property
    def encoded(self) -> bytes:
        """The place as bytes of fixed length."""
        return number(self.kind, 1) + _numbers(self.conv, self.ref)


def recipients(ring: Keyring, users: Iterable[int]) -> dict[Address, bytes]:
    """Return address -> identity key for all devices of these users and this user's other devices.

    Leaves out devices without a session whose keys the service does not have. Raises NoSession, IdentityChanged.
    """
    wanted: dict[Address, bytes] = {}
    unknown = []
    for user in sorted({*users, ring.address[0]}):
        devices = ring.directory.devices(user)
        if not devices:
            unknown.append(user)
        addresses = {(user, device): key for device, key in devices.items()}
        wanted.update({one: key for one, key in addresses.items() if one != ring.address and ring.reachable(one)})
    if unknown:
        raise NoSession(tuple(unknown))
    return wanted


def make_ready(ring: Keyring, addresses: Iterable[Address]) -> None:
    """Start a session with each address. Raises NoSession, with all users that lack keys, before anything is used."""
    without = set()
    for address in addresses:
        try:
            ring.ready_peer(address)
        except NoSession:
            without.add(address[0])
    if without:
        raise NoSession(tuple(sorted(without)))


def direct(ring: Keyring, conv: int, users: Iterable[int], plaintext: bytes) -> bytes:
    """Return one body for all devices of a 1:1 conversation. Raises NoSession, IdentityChanged, TooLarge."""
    wanted = recipients(ring, users)
    if envelopes.direct_size(len(plaintext), devices=len(wanted), first=len(wanted)) > MAX_BODY:
        raise TooLarge(f"{len(plaintext)} bytes for {len(wanted)} devices are more than one message holds")
    make_ready(ring, wanted)
    ref, key = ring.take_ref(), primitives.random_key()
    payload = primitives.seal_once(key, plaintext, payload_context(Place(Type.DIRECT, conv, ref), ring.address))
    unwrapped = Unwrapped(ref, key, primitives.digest(payload))
    keep(ring.sent, (conv, ref), unwrapped, MAX_SENT)
    said = envelopes.say_key(key, unwrapped.digest)
    sections = tuple(section(ring, Place(Type.DIRECT, conv, ref), address, said) for address in wanted)
    return envelopes.encode(Envelope(Type.DIRECT, ref, sections, payload))


def group(ring: Keyring, conv: int, users: Iterable[int], plaintext: bytes) -> list[bytes]:
    """Return the bodies to send, in order: those that bring the sender key to devices that lack it, then the message.

    `users` are the members now. If a device that follows the chain is not theirs any more, a new chain starts. Raises
    NoSession, IdentityChanged, TooLarge.
    """
    wanted = recipients(ring, users)
    if envelopes.group_size(len(plaintext)) > MAX_BODY:
        raise TooLarge(f"{len(plaintext)} bytes are more than one message holds")
    names = {_name(address): key for address, key in wanted.items()}
    chain = ring.chains.get(conv)
    if chain is None or not chain.serves(names):
        chain = new_chain()
    lacking = [address for address in wanted if _name(address) not in chain.given]
    make_ready(ring, lacking)
    keep(ring.chains, conv, chain, MAX_CHAINS_OWN)
    said = chain.distribution.say()
    next_ref = ref_of(chain.chain, chain.iteration)
    # Sections are bound to their envelope, so first decide which of them travel with the message.
    room = MAX_BODY - envelopes.group_size(len(plaintext))
    riding = min(len(lacking), room // envelopes.section_size(envelopes.CHAIN_PLAIN, first=True))
    before, with_it = lacking[: len(lacking) - riding], lacking[len(lacking) - riding :]
    bodies = control(ring, conv, [(address, said) for address in before])
    sections = tuple(section(ring, Place(Type.GROUP, conv, next_ref), address, said) for address in with_it)
    chain.given.update({_name(address): wanted[address] for address in lacking})
    return [*bodies, _group_body(ring, conv, chain, sections, plaintext)]


def _group_body(ring: Keyring, conv: int, chain: OwnChain, sections: tuple[Section, ...], plaintext: bytes) -> bytes:
    ref, key = chain.step()
    payload = primitives.seal_once(key, plaintext, payload_context(Place(Type.GROUP, conv, ref), ring.address))
    unsigned = envelopes.encode(Envelope(Type.GROUP, ref, sections, payload))
    signature = primitives.sign_with(chain.signing, signed_context(conv, ring.address) + unsigned)
    assert len(signature) == SIGNATURE_BYTES
    keep(ring.sent, (conv, ref), Unwrapped(ref, key, primitives.digest(payload + signature)), MAX_SENT)
    return unsigned + signature


def control(ring: Keyring, conv: int, said: Sequence[tuple[Address, bytes]]) -> list[bytes]:
    """Return control envelopes with these plaintexts for these devices, as many envelopes as needed."""
    bodies = []
    size = max((len(what) for _, what in said), default=0)
    each = (MAX_BODY - envelopes.HEAD_BYTES) // envelopes.section_size(size, first=True)
    for start in range(0, len(said), max(1, each)):
        ref = ring.take_ref()
        part = said[start : start + each]
        sections = tuple(section(ring, Place(Type.CONTROL, conv, ref), address, what) for address, what in part)
        bodies.append(envelopes.encode(Envelope(Type.CONTROL, ref, sections, b"")))
    return bodies


def ask_again(ring: Keyring, conv: int, sender: Address, refs: Sequence[int]) -> bytes:
    """Return a body that asks a device for unreadable messages, in a new session. Needs an unused bundle.

    The session does without a one-time prekey, so the device can read it even if the service hands them out twice.
    Raises NoSession, IdentityChanged, and Unreadable when it was asked MAX_ASKS times and nothing could be read since.
    """
    peer = ring.peer(sender)
    if peer.asks >= MAX_ASKS:
        raise Unreadable(f"device {sender[1]} was asked {peer.asks} times without success")
    bundle = ring.bundles.pop(sender, None)
    if bundle is None:
        raise NoSession((sender[0],))
    peer.begin(bundle._replace(one_time_number=0, one_time_key=b""))
    peer.asks += 1
    said = envelopes.say_ask(list(refs)[: envelopes.MAX_ASKED])
    return control(ring, conv, [(sender, said)])[0]


def answer(ring: Keyring, conv: int, asker: Address, refs: Iterable[int]) -> list[bytes]:
    """Return the kept keys of these own messages, and the sender key if the asker is to follow it.

    The caller must pass only refs of messages that the asker's user may see. Raises NoSession, IdentityChanged.
    """
    identity_key = recipients(ring, [asker[0]]).get(asker)
    if identity_key is None:
        raise NoSession((asker[0],))
    make_ready(ring, [asker])
    found = [key for ref in refs if (key := ring.sent.get((conv, ref))) is not None]
    said: list[tuple[Address, bytes]] = [(asker, envelopes.say_keys(found[: envelopes.MAX_ASKED]))]
    chain = ring.chains.get(conv)
    if chain is not None and _name(asker) in chain.given:
        chain.given[_name(asker)] = identity_key
        said.append((asker, chain.distribution.say()))
    return control(ring, conv, said)


def section(ring: Keyring, place: Place, address: Address, said: bytes) -> Section:
    """Encrypt a section for one device, in its session."""
    context = section_context(place, ring.address, address)
    first, data = ring.ready_peer(address).seal(said, context)
    return Section(address[1], SectionKind.FIRST if first else SectionKind.RATCHET, data)


def section_context(place: Place, sender: Address, recipient: Address) -> bytes:
    """Return the data to which a section is bound."""
    return b"petrel section" + place.encoded + _numbers(*sender, *recipient)


def payload_context(place: Place, sender: Address) -> bytes:
    """Return the data to which a payload is bound."""
    return b"petrel payload" + place.encoded + _numbers(*sender)


def signed_context(conv: int, sender: Address) -> bytes:
    """Return the prefix of a group envelope in its signature."""
    return b"petrel group" + _numbers(conv, *sender)


def _numbers(*values: int) -> bytes:
    return b"".join(number(value, 8) for value in values)


def _name(address: Address) -> str:
    return f"{address[0]}/{address[1]}"
