"""The interface between the client and its encryption: it turns plaintexts into bodies and back, and reports missing
keys.

It is narrow, so that the rest of the client can be read and tested without sut.crypto (see sealed.py). It does no I/O:
the caller that gets NeedKeys fetches the keys. Every call changes `state`, which is saved together with its results.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol


class NeedKeys(Exception):
    """The keys of these users must be fetched first."""

    def __init__(self, users: tuple[int, ...]) -> None:
        super().__init__(f"keys of {len(users)} users are needed")
        self.users = users


class Changed(Exception):
    """This user's identity key has changed. A person has to decide whether to `accept` it."""

    def __init__(self, user: int) -> None:
        super().__init__(f"the identity of user {user} has changed")
        self.user = user


class CannotRead(Exception):
    """This device cannot read the body. `ask`: the sender can help, unless message `ref` was read before.

    `shows`: False for what only the two devices say to each other, which has no text.
    """

    def __init__(self, text: str, *, ask: bool, ref: int = 0, shows: bool = True) -> None:
        super().__init__(text)
        self.ask = ask
        self.ref = ref
        self.shows = shows


class CannotSeal(Exception):
    """The plaintext cannot be sent; the text says why."""


class Sealed(NamedTuple):
    """A body to send. `ref`: the number by which a recipient that cannot read it asks for it; 0: there is nothing to
    ask for.
    """

    body: bytes
    ref: int


class Opened(NamedTuple):
    """The content of a body for this device."""

    plaintext: bytes | None
    """None if there is nothing to show."""
    asked: tuple[int, ...] = ()
    """The refs of messages of this device that the sender could not read."""
    unlocked: bool = False
    """True if earlier messages of this sender may be readable now."""
    ref: int = 0
    """The sending device's number of the message, authenticated. Two bodies with the same number are copies."""


Address = tuple[int, int]
"""A device's address: (user, device)."""


class Cipher(Protocol):
    """The encryption of one device."""

    def seal(self, conv: int, users: Iterable[int], plaintext: bytes, *, direct: bool) -> list[Sealed]:
        """Return bodies for the devices of these users and this user's other devices, in the order to send them."""

    def open(self, conv: int, sender: Address, body: bytes) -> Opened:
        """Decrypt a body. Raises NeedKeys, Changed, CannotRead."""

    def ask(self, conv: int, sender: Address, bodies: Sequence[bytes]) -> Sealed:
        """Return a body that asks the sender for unreadable messages. Needs freshly fetched keys. Raises as `seal`
        does.
        """

    def answer(self, conv: int, asker: Address, refs: Sequence[int]) -> list[Sealed]:
        """Return bodies that answer the request of another device. Raises as `seal` does."""

    def list_version(self, user: int) -> int:
        """Return the version of this user's newest known device list; 0 if none is known."""

    def state(self) -> bytes:
        """Return the whole state, secrets included, to be saved."""
