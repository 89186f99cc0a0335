"""One Double Ratchet session between two devices (the doubleratchet library, Signal's specification).

Choices: X25519; root chain HKDF-SHA-256; message chains HMAC-SHA-256; ChaCha20-Poly1305 with a key for each message.
The library's recommended AES-CBC with HMAC compares its tag in variable time, and is up to 31 bytes longer.

    ratchet message: ratchet key 32, length of the previous chain u32, number u32, ciphertext and tag (the rest)
    first messages:  identity key 32, ephemeral key 32, signed prekey u32, one-time prekey u32 (0: none), then the same

The device that starts a session sends first messages until it has read an answer. So a lost one costs only itself.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import doubleratchet
import msgspec
from doubleratchet import (
    AuthenticationFailedException,
    DecryptionFailedException,
    DoSProtectionException,
    DuplicateMessageException,
    EncryptedMessage,
    Header,
)
from doubleratchet.models import DoubleRatchetModel
from doubleratchet.recommended import HashFunction, diffie_hellman_ratchet_curve25519, kdf_hkdf, kdf_separate_hmacs

from sut.crypto import primitives
from sut.crypto.errors import CryptoError, KeyGone, Malformed, Refused, Unreadable
from sut.crypto.prekeys import Agreed, Bundle, Opening, OwnKeys
from sut.crypto.wire import Reader, number

MAX_SKIPPED: Final = 1000
"""The most messages that one message may skip."""
MAX_KEPT: Final = 4000
"""The message keys that one session keeps for messages that have not arrived.

Two conversations that are read one after the other share a session.
"""
_CHAIN_STEP: Final = b"\x02\x01"
"""The HMACs of these bytes under the chain key are the next chain key and the message key, as in Signal."""


class _Root(kdf_hkdf.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256

    @staticmethod
    def _get_info() -> bytes:
        return b"petrel root chain 1"


class _Chain(kdf_separate_hmacs.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256


class _Aead(doubleratchet.AEAD):
    @staticmethod
    async def encrypt(plaintext: bytes, key: bytes, associated_data: bytes) -> bytes:
        return primitives.seal_once(key, plaintext, associated_data)

    @staticmethod
    async def decrypt(ciphertext: bytes, key: bytes, associated_data: bytes) -> bytes:
        try:
            return primitives.open_once(key, ciphertext, associated_data, what="section")
        except Refused as error:
            raise AuthenticationFailedException(str(error)) from None


class _Ratchet(doubleratchet.DoubleRatchet):
    @staticmethod
    def _build_associated_data(associated_data: bytes, header: Header) -> bytes:
        return associated_data + _head(header)  # the first part is a digest: of fixed length


_DH: Final = diffie_hellman_ratchet_curve25519.DiffieHellmanRatchet


class Saved(msgspec.Struct):
    """A session as saved."""

    ratchet: dict[str, Any]
    bound: bytes
    base: bytes
    opening: bytes | None


class Sealed(NamedTuple):
    """A message of a session; `first`: it carries the opening too."""

    first: bool
    data: bytes


class Session:
    """Sends to and receives from one device. Data that fails to decrypt changes nothing."""

    def __init__(self, ratchet: _Ratchet, agreed_bound: bytes, base: bytes, opening: bytes | None) -> None:
        self._ratchet = ratchet
        self._bound = agreed_bound
        self.base = base
        """The ephemeral key with which the session started; it identifies the session."""
        self._opening = opening

    @classmethod
    def begin(cls, own: OwnKeys, bundle: Bundle, addresses: bytes) -> Session:
        """Start a session from another device's bundle. Raises Malformed, Refused."""
        agreed, opening = own.begin(bundle, addresses)
        try:
            chain = primitives.now(
                _DH.create(None, bundle.signed_key, _Root, agreed.secret, _Chain, _CHAIN_STEP, MAX_SKIPPED)
            )
        except ValueError as error:
            raise Refused(f"bundle of device {bundle.device}: {error}") from None
        model = DoubleRatchetModel(diffie_hellman_ratchet=chain.model, skipped_message_keys=[])
        return cls(_restore(model), agreed.bound, opening.ephemeral_key, _encode_opening(opening))

    @classmethod
    def answer(
        cls, own: OwnKeys, opening: Opening, data: bytes, bound: bytes, addresses: bytes
    ) -> tuple[Session, bytes]:
        """Return the session and the plaintext from another device's first message. Raises Malformed, Unreadable,
        Refused.

        Unreadable also if it does not decrypt: a number may stand for another key on an older copy of this device. The
        one-time prekey is not deleted: the caller deletes it once it keeps the session.
        """
        agreed, signed_private = own.answer(opening, addresses)
        message = _parse_message(data)
        try:
            ratchet, plaintext = primitives.now(
                _Ratchet.decrypt_initial_message(
                    _DH,
                    _Root,
                    _Chain,
                    _CHAIN_STEP,
                    MAX_SKIPPED,
                    MAX_KEPT,
                    _Aead,
                    agreed.secret,
                    signed_private,
                    message,
                    _bind(agreed, bound),
                )
            )
        except (AuthenticationFailedException, DecryptionFailedException, DoSProtectionException, ValueError):
            raise Unreadable("first message: not encrypted to the keys of this device, or changed on the way") from None
        return cls(ratchet, agreed.bound, opening.ephemeral_key, None), plaintext

    def seal(self, plaintext: bytes, bound: bytes) -> Sealed:
        """Encrypt the next message; `bound` is authenticated with it. The state must be saved before the message is
        sent.
        """
        message = primitives.now(self._ratchet.encrypt_message(plaintext, _bind(self._bound, bound)))
        data = _head(message.header) + message.ciphertext
        return Sealed(False, data) if self._opening is None else Sealed(True, self._opening + data)

    def open(self, data: bytes, bound: bytes) -> bytes:
        """Decrypt a ratchet message. Raises Malformed, KeyGone, Refused, Unreadable (it skips too many)."""
        message = _parse_message(data)
        try:
            plaintext = primitives.now(self._ratchet.decrypt_message(message, _bind(self._bound, bound)))
        except DuplicateMessageException:
            raise KeyGone("section: its key was used or dropped before") from None
        except DoSProtectionException:
            raise Unreadable(f"section: it skips more than {MAX_SKIPPED} messages") from None
        except (AuthenticationFailedException, DecryptionFailedException, ValueError):
            raise Refused("section: not of this session, or changed on the way") from None
        self._opening = None
        return plaintext

    def save(self) -> Saved:
        """Return the session, secrets included."""
        return Saved(dict(self._ratchet.json), self._bound, self.base, self._opening)

    @classmethod
    def load(cls, saved: Saved) -> Session:
        """Restore a saved session. Raises Malformed."""
        try:
            ratchet = _Ratchet.from_json(saved.ratchet, _DH, _Root, _Chain, _CHAIN_STEP, MAX_SKIPPED, MAX_KEPT, _Aead)
        except (ValueError, KeyError, TypeError, CryptoError):
            raise Malformed("saved session: it cannot be read") from None
        return cls(ratchet, saved.bound, saved.base, saved.opening)


def split_opening(data: bytes) -> tuple[Opening, bytes]:
    """Return a first message's opening and its ratchet message. Raises Malformed."""
    reader = Reader(data, "first message")
    opening = Opening(reader.key(), reader.key(), reader.number(4), reader.number(4))
    return opening, reader.rest()


def _encode_opening(opening: Opening) -> bytes:
    numbers = number(opening.signed_number, 4) + number(opening.one_time_number, 4)
    return opening.identity_key + opening.ephemeral_key + numbers


def _restore(model: DoubleRatchetModel) -> _Ratchet:
    return _Ratchet.from_model(model, _DH, _Root, _Chain, _CHAIN_STEP, MAX_SKIPPED, MAX_KEPT, _Aead)


def _bind(agreed: Agreed | bytes, bound: bytes) -> bytes:
    """Return a digest of the data that a message's tag covers besides the message."""
    first = agreed.bound if isinstance(agreed, Agreed) else agreed
    return primitives.digest(number(len(first), 4) + first + bound)


def _head(header: Header) -> bytes:
    lengths = number(header.previous_sending_chain_length, 4) + number(header.sending_chain_length, 4)
    return header.ratchet_pub + lengths


def _parse_message(data: bytes) -> EncryptedMessage:
    reader = Reader(data, "section")
    ratchet_key, previous, count = reader.key(), reader.number(4), reader.number(4)
    return EncryptedMessage(Header(ratchet_key, previous, count), reader.rest())
