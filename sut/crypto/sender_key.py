"""Sender keys, Signal's scheme for groups: each device has its own chain in each group, and all others follow it.

    message key of an iteration  = HMAC(chain key, 0x01)
    chain key of the next        = HMAC(chain key, 0x02)

Every member device gets the chain key over its pairwise session, from the current iteration on. So a new member cannot
read earlier messages. When a device or a member leaves, the sender starts a new chain, which they do not get. So a
removed member cannot read later messages. Each envelope is signed with the chain's Ed25519 key. Without the signature,
any member could write in another's name, because all of them know the chain key.
"""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

import msgspec

from sut.crypto import primitives
from sut.crypto.envelope import Say
from sut.crypto.errors import KeyGone, Unreadable
from sut.crypto.wire import Reader, number

MAX_SKIPPED: Final = 1000
"""Message keys that are kept of one chain for messages that have not arrived; also the most that a message may skip."""
MAX_CHAINS: Final = 4
"""Chains of one sender in one group; the newest ones are kept."""
MAX_ITERATION: Final = 100_000
"""The number of messages after which a chain is replaced."""
_MESSAGE, _CHAIN = b"\x01", b"\x02"


class Distribution(NamedTuple):
    """The data with which a device can follow a chain from `iteration` on."""

    chain: int
    iteration: int
    chain_key: bytes
    signature_key: bytes

    def say(self) -> bytes:
        """Encode a CHAIN section."""
        numbers = number(self.chain, 4) + number(self.iteration, 4)
        return number(Say.CHAIN, 1) + numbers + self.chain_key + self.signature_key


def read_distribution(reader: Reader) -> Distribution:
    """Read the rest of a CHAIN section. Raises Malformed."""
    distribution = Distribution(reader.number(4), reader.number(4), reader.key(), reader.key())
    reader.end()
    return distribution


def ref_of(chain: int, iteration: int) -> int:
    """Return the ref of an envelope."""
    return chain << 32 | iteration


class OwnChain(msgspec.Struct):
    """A chain that this device sends with."""

    chain: int
    chain_key: bytes
    signing: bytes
    signature_key: bytes
    iteration: int = 0
    given: dict[str, bytes] = {}
    """The followers: "user/device" -> identity key."""

    def step(self) -> tuple[int, bytes]:
        """Return the ref and the key of the next message. The state must be saved before it is sent."""
        ref, key = ref_of(self.chain, self.iteration), primitives.mac(self.chain_key, _MESSAGE)
        self.chain_key = primitives.mac(self.chain_key, _CHAIN)
        self.iteration += 1
        return ref, key

    @property
    def distribution(self) -> Distribution:
        """The data for a new follower: from the next message on."""
        return Distribution(self.chain, self.iteration, self.chain_key, self.signature_key)

    def serves(self, wanted: dict[str, bytes]) -> bool:
        """Return True while every follower is still entitled, and iterations remain."""
        return self.iteration < MAX_ITERATION and all(wanted.get(name) == key for name, key in self.given.items())


def new_chain() -> OwnChain:
    """Return a new chain with a random number, so that a device that lost its state does not repeat an old one."""
    private, public = primitives.new_signing_key()
    return OwnChain(secrets.randbits(32), primitives.random_key(), private, public)


class FollowedChain(msgspec.Struct):
    """The chain of another device."""

    chain: int
    first: int
    """The first iteration that this device was given."""
    iteration: int
    chain_key: bytes
    signature_key: bytes
    skipped: dict[int, bytes] = {}
    """Iteration -> message key."""

    def key_of(self, iteration: int) -> bytes:
        """Return the message key. Changes nothing; call `used` afterwards. Raises KeyGone, Unreadable."""
        if iteration < self.first:
            raise Unreadable("sender key: it lies before what was given to this device")
        if iteration < self.iteration:
            if (key := self.skipped.get(iteration)) is None:
                raise KeyGone("sender key: the key of this iteration was used or dropped before")
            return key
        if iteration - self.iteration > MAX_SKIPPED:
            raise Unreadable(f"sender key: it skips more than {MAX_SKIPPED} messages")
        chain_key = self.chain_key
        for _ in range(iteration - self.iteration):
            chain_key = primitives.mac(chain_key, _CHAIN)
        return primitives.mac(chain_key, _MESSAGE)

    def used(self, iteration: int) -> None:
        """Advance the chain past a genuine message, and keep the keys of the skipped ones."""
        self.skipped.pop(iteration, None)
        while self.iteration <= iteration:
            if self.iteration < iteration:
                self.skipped[self.iteration] = primitives.mac(self.chain_key, _MESSAGE)
            self.chain_key = primitives.mac(self.chain_key, _CHAIN)
            self.iteration += 1
        for oldest in list(self.skipped)[: max(0, len(self.skipped) - MAX_SKIPPED)]:
            del self.skipped[oldest]


class Follower(msgspec.Struct):
    """The chains of one sending device in one group, newest last, at most MAX_CHAINS."""

    chains: list[FollowedChain] = []

    def follow(self, given: Distribution) -> None:
        """Start to follow a chain. A known one stays as it is: going back would allow a message to be read twice."""
        known = next((known for known in self.chains if known.chain == given.chain), None)
        if known is not None and known.signature_key == given.signature_key:
            return
        followed = FollowedChain(given.chain, given.iteration, given.iteration, given.chain_key, given.signature_key)
        self.chains = [*(other for other in self.chains if other is not known), followed][-MAX_CHAINS:]

    def chain(self, number_: int) -> FollowedChain:
        """Return the chain with that number. Raises Unreadable."""
        for known in self.chains:
            if known.chain == number_:
                return known
        raise Unreadable("sender key: this chain was not given to this device, or is too old")
