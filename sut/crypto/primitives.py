"""The cryptographic primitives of this package, each from a library: `cryptography`, and XEdDSA's own.

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
"""Precedes a public key of this curve where keys are signed, compared or hashed, as in Signal."""
_NONCE_BYTES: Final = 12

T = TypeVar("T")


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that never waits. Raises what it raises; CryptoError if it did wait."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coroutine.close()
    raise CryptoError("a cryptographic library waited, which it must not do")


def random_key() -> bytes:
    """Return 32 bytes from the system's source of randomness."""
    return secrets.token_bytes(32)


def public_of(private: bytes) -> bytes:
    """Return the Curve25519 public key."""
    return bytes(xeddsa.priv_to_curve25519_pub(private))


def sign(private: bytes, message: bytes) -> bytes:
    """Return an XEdDSA signature with a Curve25519 key."""
    return bytes(xeddsa.ed25519_priv_sign(xeddsa.priv_force_sign(private, False), message))


def check_signature(public: bytes, message: bytes, signature: bytes, *, what: str) -> None:
    """Check an XEdDSA signature. Raises Refused, whose text names `what` was signed."""
    try:
        genuine = xeddsa.ed25519_verify(signature, xeddsa.curve25519_pub_to_ed25519_pub(public, False), message)
    except (ValueError, xeddsa.XEdDSAException):
        genuine = False
    if not genuine:
        raise Refused(f"{what}: the signature is wrong")


def new_signing_key() -> tuple[bytes, bytes]:
    """Return a new Ed25519 pair: (private, public)."""
    private = Ed25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def sign_with(private: bytes, message: bytes) -> bytes:
    """Return an Ed25519 signature."""
    return Ed25519PrivateKey.from_private_bytes(private).sign(message)


def check_signed_with(public: bytes, message: bytes, signature: bytes, *, what: str) -> None:
    """Check an Ed25519 signature. Raises Refused, whose text names `what` was signed."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Refused(f"{what}: the signature is wrong") from None


def mac(key: bytes, data: bytes) -> bytes:
    """Return the HMAC-SHA-256 of `data`."""
    return hmac.digest(key, data, "sha256")


def digest(data: bytes) -> bytes:
    """Return the SHA-256 digest of `data`."""
    return hashlib.sha256(data).digest()


def seal_once(key: bytes, plaintext: bytes, bound: bytes) -> bytes:
    """Encrypt with a key that must never encrypt anything else.

    `bound` is authenticated, and not part of the result.
    """
    return ChaCha20Poly1305(key).encrypt(bytes(_NONCE_BYTES), plaintext, bound)


def open_once(key: bytes, ciphertext: bytes, bound: bytes, *, what: str) -> bytes:
    """Decrypt the result of `seal_once`. Raises Refused."""
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(_NONCE_BYTES), ciphertext, bound)
    except (InvalidTag, ValueError):
        raise Refused(f"{what}: not encrypted with this key, or changed on the way") from None
