"""Encrypts a saved state with a passphrase: bytes in, bytes out. The owner of the file writes it with mode 0600.

    version u8 (1), salt 16, nonce 12, ciphertext and tag: ChaCha20-Poly1305
    key: scrypt(passphrase, salt; N 2^15, r 8, p 1)

The owner renames the written file into place. The nonce is new each time. The key is kept in memory while the vault is
open, because scrypt is slow on purpose.
"""

from __future__ import annotations

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from sut.crypto.errors import Refused
from sut.crypto.wire import Reader

_VERSION: Final = b"\x01"
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12


class Vault:
    """Encrypts states with one passphrase."""

    def __init__(self, passphrase: str, salt: bytes | None = None) -> None:
        """Create a new vault, or with `salt` reopen an existing one."""
        self._salt = salt or secrets.token_bytes(_SALT_BYTES)
        key = Scrypt(salt=self._salt, length=32, n=1 << 15, r=8, p=1).derive(passphrase.encode())
        self._cipher = ChaCha20Poly1305(key)

    def seal(self, state: bytes) -> bytes:
        """Return the state, encrypted with the passphrase."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        head = _VERSION + self._salt + nonce
        return head + self._cipher.encrypt(nonce, state, head)

    @classmethod
    def open(cls, passphrase: str, sealed: bytes) -> tuple[Vault, bytes]:
        """Return the vault and the state.

        Raises Malformed, Refused: the passphrase is wrong, or the data was changed.
        """
        reader = Reader(sealed, "vault")
        if reader.take(1) != _VERSION:
            raise Refused("vault: of another version")
        salt, nonce = reader.take(_SALT_BYTES), reader.take(_NONCE_BYTES)
        head, vault = sealed[: reader.at], cls(passphrase, salt)
        try:
            return vault, vault._cipher.decrypt(nonce, reader.rest(), head)
        except InvalidTag:
            raise Refused("vault: wrong passphrase, or it was changed") from None
