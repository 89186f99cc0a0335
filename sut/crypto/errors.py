"""What can go wrong between two devices, as one tree. None of it says more than an attacker may know."""

from __future__ import annotations


class CryptoError(Exception):
    """Root of this library's errors; the text is one line and holds no key and no plaintext."""


class Malformed(CryptoError):
    """These bytes are not what the format says: an envelope, a section, a bundle, a list or a saved state."""


class Refused(CryptoError):
    """Well formed, and not genuine: a signature or an authentication tag is wrong. Nothing was changed by it."""


class Unreadable(CryptoError):
    """No key for it here: not addressed to this device, sent before its keys came, or its session is lost.

    `Account.ask_again` asks the sender for what is missing.
    """


class Repeated(CryptoError):
    """Its key was used and is gone: a copy of a message that was read before."""


class KeyGone(Repeated):
    """Its key is gone: used, or dropped when too many messages were skipped. Only a record of what was read tells."""


class IdentityChanged(CryptoError):
    """A user's account key is another one than before. Nothing is encrypted to it until somebody accepts it."""

    def __init__(self, user: int) -> None:
        super().__init__(f"the identity of user {user} has changed")
        self.user = user


class NoSession(CryptoError):
    """There is no session with a device and no bundle of it to begin one with; `users` are those to ask for."""

    def __init__(self, users: tuple[int, ...]) -> None:
        super().__init__(f"no keys of user{'s' if len(users) > 1 else ''} {', '.join(map(str, users))}")
        self.users = users


class TooLarge(CryptoError):
    """It does not fit one message of the service."""
