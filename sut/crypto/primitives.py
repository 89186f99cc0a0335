"""The few primitives that everything here is made of, each from a library: `cryptography` and XEdDSA's own.

- X25519 (RFC 7748) and XEdDSA signatures with the same Curve25519 key: identity keys;
- Ed25519 (RFC 8032): signatures of sender keys;
- HMAC with SHA-256 (RFC 2104); HKDF (RFC 5869) is in the libraries below;
- ChaCha20-Poly1305 (RFC 8439), with a key that encrypts one message only.

The X3DH and Double Ratchet libraries are written as coroutines that never wait; `now` runs one to its end.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import xeddsa
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from sut.crypto.errors import CryptoError, Refused

TAG_BYTES: Final = 16
CURVE25519: Final = b"\x05"
"""Stands before a public key of this curve where keys are signed, compared or hashed, as in Signal."""
_NONCE_BYTES: Final = 12

T = TypeVar("T")


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never waits. Raises what it raises; CryptoError if it did wait."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coroutine.close()
    raise CryptoError("a cryptographic library waits for something: it must not")


def random_key() -> bytes:
    """32 bytes from the system's source of randomness."""
    return secrets.token_bytes(32)


def public_of(private: bytes) -> bytes:
    """The Curve25519 public key."""
    return bytes(xeddsa.priv_to_curve25519_pub(private))


def sign(private: bytes, message: bytes) -> bytes:
    """XEdDSA: a signature with a Curve25519 key."""
    return bytes(xeddsa.ed25519_priv_sign(xeddsa.priv_force_sign(private, False), message))


def check_signature(public: bytes, message: bytes, signature: bytes, *, what: str) -> None:
    """XEdDSA. Raises Refused, which names `what` was signed."""
    try:
        genuine = xeddsa.ed25519_verify(signature, xeddsa.curve25519_pub_to_ed25519_pub(public, False), message)
    except (ValueError, xeddsa.XEdDSAException):
        genuine = False
    if not genuine:
        raise Refused(f"{what}: the signature is wrong")


def new_signing_key() -> tuple[bytes, bytes]:
    """An Ed25519 pair: (private, public)."""
    private = Ed25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def sign_with(private: bytes, message: bytes) -> bytes:
    """Ed25519."""
    return Ed25519PrivateKey.from_private_bytes(private).sign(message)


def check_signed_with(public: bytes, message: bytes, signature: bytes, *, what: str) -> None:
    """Ed25519. Raises Refused."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Refused(f"{what}: the signature is wrong") from None


def mac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256."""
    return hmac.digest(key, data, "sha256")


def digest(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def seal_once(key: bytes, plaintext: bytes, bound: bytes) -> bytes:
    """Encrypt with a key that encrypts nothing else, ever; `bound` is authenticated and not part of the result."""
    return ChaCha20Poly1305(key).encrypt(bytes(_NONCE_BYTES), plaintext, bound)


def open_once(key: bytes, ciphertext: bytes, bound: bytes, *, what: str) -> bytes:
    """What `seal_once` encrypted. Raises Refused."""
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(_NONCE_BYTES), ciphertext, bound)
    except (InvalidTag, ValueError):
        raise Refused(f"{what}: not encrypted with this key, or changed on the way") from None
