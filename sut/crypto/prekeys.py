"""A device's own keys, the public part of them, and X3DH with them (the x3dh library, Signal's specification).

Identity key: Curve25519, permanent; it signs (XEdDSA) and agrees. Signed prekey: replaced every week; the last four are
kept for messages in transit. One-time prekeys: used by one session each, then deleted. Keys are named by numbers that
only rise; 0 is none.

A number may be handed out twice, or stand for another key, where the service or the device was put back to an older
copy. A first message with it is unreadable: its sender is asked, in a session without a one-time prekey.

The library gets only the keys that one agreement needs. Otherwise it would derive the public key of every one-time
prekey each time.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from x3dh import BaseState, Header, IdentityKeyFormat, KeyAgreementException
from x3dh import Bundle as X3dhBundle
from x3dh.crypto_provider import HashFunction
from x3dh.models import BaseStateModel, IdentityKeyPairModel, SignedPreKeyPairModel
from x3dh.types import SecretType
from xeddsa import XEdDSAException

from sut.crypto import primitives
from sut.crypto.errors import Malformed, Refused, Unreadable
from sut.crypto.wire import KEY_BYTES, SIGNATURE_BYTES

SIGNED_PREKEY_S: Final = 7 * 24 * 3600
"""The age in seconds (one week) at which a signed prekey is replaced."""
CLOCK_S: Final = 24 * 3600
"""A signed prekey from further ahead is replaced too: the clock was set back, and nobody knows how old the key is."""
MAX_SIGNED: Final = 4
ONE_TIME_BATCH: Final = 100
ONE_TIME_LOW: Final = 20
"""When the service has fewer left, the device publishes more."""
MAX_ONE_TIME: Final = 1000
"""The most private one-time prekeys that a device keeps. The oldest are dropped first."""
INFO: Final = b"petrel x3dh 1"


class Bundle(NamedTuple):
    """A device's keys from the service, for one session. `one_time_number` 0: no one-time prekey was left."""

    device: int
    identity_key: bytes
    signed_number: int
    signed_key: bytes
    signature: bytes
    one_time_number: int = 0
    one_time_key: bytes = b""

    def check(self) -> None:
        """Raise Malformed when a length is wrong."""
        keys = (self.identity_key, self.signed_key, *((self.one_time_key,) if self.one_time_number else ()))
        if any(len(key) != KEY_BYTES for key in keys) or len(self.signature) != SIGNATURE_BYTES:
            raise Malformed("bundle: a key or the signature has a wrong length")


class Publication(NamedTuple):
    """The public keys that a device publishes to the service."""

    identity_key: bytes
    signed_number: int
    signed_key: bytes
    signature: bytes
    one_time: tuple[tuple[int, bytes], ...]


class Opening(NamedTuple):
    """The part of a first message from which its recipient computes the shared secret."""

    identity_key: bytes
    ephemeral_key: bytes
    signed_number: int
    one_time_number: int


class Agreed(NamedTuple):
    """The result of X3DH, the same on both sides."""

    secret: bytes
    bound: bytes
    """Both identity keys and both addresses, initiator first: authenticated with every message."""


class SignedPrekey(msgspec.Struct):
    """A signed prekey of this device."""

    number: int
    private: bytes
    signature: bytes
    made_at_s: int


class _Agreement(BaseState):
    @staticmethod
    def _encode_public_key(key_format: IdentityKeyFormat, pub: bytes) -> bytes:
        assert key_format is IdentityKeyFormat.CURVE_25519
        return primitives.CURVE25519 + pub


class OwnKeys(msgspec.Struct):
    """The private keys of one device, as saved."""

    identity: bytes
    signed: list[SignedPrekey] = []
    """The signed prekeys, newest first."""
    one_time: dict[int, bytes] = {}
    unpublished: list[int] = []
    """One-time prekeys that the service has not confirmed."""
    last_number: int = 0

    @property
    def identity_key(self) -> bytes:
        """The public identity key."""
        return primitives.public_of(self.identity)

    def rotate(self, now_s: int) -> bool:
        """Make a new signed prekey if it is due or there is none. Returns True if there is something to publish."""
        if self.signed and -CLOCK_S < now_s - self.signed[0].made_at_s < SIGNED_PREKEY_S:
            return False
        private = primitives.random_key()
        signature = primitives.sign(self.identity, primitives.CURVE25519 + primitives.public_of(private))
        self.last_number += 1
        self.signed = [SignedPrekey(self.last_number, private, signature, now_s), *self.signed[: MAX_SIGNED - 1]]
        return True

    def make_one_time(self, count: int) -> None:
        """Make `count` one-time prekeys, to be published."""
        for _ in range(count):
            self.last_number += 1
            self.one_time[self.last_number] = primitives.random_key()
            self.unpublished.append(self.last_number)
        for number in sorted(self.one_time)[: max(0, len(self.one_time) - MAX_ONE_TIME)]:
            del self.one_time[number]

    def publication(self) -> Publication:
        """Return the current signed prekey, and up to ONE_TIME_BATCH unpublished one-time prekeys."""
        signed = self.signed[0]
        fresh = [number for number in self.unpublished if number in self.one_time][:ONE_TIME_BATCH]
        return Publication(
            identity_key=self.identity_key,
            signed_number=signed.number,
            signed_key=primitives.public_of(signed.private),
            signature=signed.signature,
            one_time=tuple((number, primitives.public_of(self.one_time[number])) for number in fresh),
        )

    def published(self, publication: Publication) -> None:
        """Note that the service has these keys."""
        done = {number for number, _ in publication.one_time}
        self.unpublished = [number for number in self.unpublished if number not in done]

    def go_on_above(self, number: int) -> None:
        """Number the next prekeys above this one. A state that has not come so far is an older copy: the run after it
        used the numbers up to there for other keys.
        """
        self.last_number = max(self.last_number, number)

    def begin(self, bundle: Bundle, addresses: bytes) -> tuple[Agreed, Opening]:
        """Run X3DH with another device's bundle.

        Raises Malformed, Refused (its prekey is not signed by its identity).
        """
        bundle.check()
        one_time = frozenset([bundle.one_time_key]) if bundle.one_time_number else frozenset()
        theirs = X3dhBundle(bundle.identity_key, bundle.signed_key, bundle.signature, one_time)
        state = self._state(self.signed[0], frozenset())
        try:
            secret, bound, header = primitives.now(
                state.get_shared_secret_active(theirs, addresses, require_pre_key=False)
            )
        except (KeyAgreementException, XEdDSAException, ValueError) as error:
            raise Refused(f"bundle of device {bundle.device}: {error}") from None
        opening = Opening(header.identity_key, header.ephemeral_key, bundle.signed_number, bundle.one_time_number)
        return Agreed(secret, bound), opening

    def answer(self, opening: Opening, addresses: bytes) -> tuple[Agreed, bytes]:
        """Run the other side of X3DH. Returns also the private signed prekey, which is the first ratchet key.

        Changes nothing. Raises Unreadable when a prekey that the opening names is gone, Refused.
        """
        signed = next((key for key in self.signed if key.number == opening.signed_number), None)
        if signed is None:
            raise Unreadable("the signed prekey that it uses is gone")
        one_time = self.one_time.get(opening.one_time_number)
        if opening.one_time_number and one_time is None:
            raise Unreadable("the one-time prekey that it uses is gone")
        state = self._state(signed, frozenset([one_time] if one_time is not None else []))
        header = Header(
            identity_key=opening.identity_key,
            ephemeral_key=opening.ephemeral_key,
            signed_pre_key=primitives.public_of(signed.private),
            pre_key=primitives.public_of(one_time) if one_time is not None else None,
        )
        try:
            secret, bound, _ = primitives.now(state.get_shared_secret_passive(header, addresses, require_pre_key=False))
        except (KeyAgreementException, XEdDSAException, ValueError) as error:
            raise Refused(f"first message: {error}") from None
        return Agreed(secret, bound), signed.private

    def used(self, one_time_number: int) -> None:
        """Delete a one-time prekey with which a session has started."""
        self.one_time.pop(one_time_number, None)

    def _state(self, signed: SignedPrekey, one_time: frozenset[bytes]) -> _Agreement:
        model = BaseStateModel(
            identity_key=IdentityKeyPairModel(secret=self.identity, secret_type=SecretType.PRIV),
            signed_pre_key=SignedPreKeyPairModel(priv=signed.private, sig=signed.signature, timestamp=signed.made_at_s),
            old_signed_pre_key=None,
            pre_keys=one_time,
        )
        return _Agreement.from_model(model, IdentityKeyFormat.CURVE_25519, HashFunction.SHA_256, INFO)
