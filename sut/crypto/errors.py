"""The errors between two devices, as one tree. None of them reveals more than an attacker may know."""

from __future__ import annotations


class CryptoError(Exception):
    """The root of this library's errors; the text is one line and holds no key and no plaintext."""


class Malformed(CryptoError):
    """The bytes do not have their format: an envelope, a section, a bundle, a list or a saved state."""


class Refused(CryptoError):
    """The bytes are well formed and not genuine: a signature or an authentication tag is wrong. Nothing was changed."""


class Unreadable(CryptoError):
    """No key for it is here: it is not for this device, was sent before its keys came, or its session is lost.

    `Account.ask_again` asks the sender for what is missing.
    """


class Repeated(CryptoError):
    """The key was used and is gone: this is a copy of a message that was read before."""


class KeyGone(Repeated):
    """The key is gone: used, or dropped when too many messages were skipped.

    Only a record of read messages can tell.
    """


class IdentityChanged(CryptoError):
    """A user's account key has changed. Nothing is encrypted to it until a person accepts it."""

    def __init__(self, user: int) -> None:
        super().__init__(f"the identity of user {user} has changed")
        self.user = user


class NoSession(CryptoError):
    """There is no session with a device, and no bundle to start one. `users`: the users whose keys to fetch."""

    def __init__(self, users: tuple[int, ...]) -> None:
        super().__init__(f"no keys of user{'s' if len(users) > 1 else ''} {', '.join(map(str, users))}")
        self.users = users


class TooLarge(CryptoError):
    """The plaintext does not fit into one message of the service."""
