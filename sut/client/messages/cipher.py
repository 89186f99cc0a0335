"""What the client asks of encryption: bodies from plaintexts and back, and what is missing where it cannot.

A narrow interface over sut.crypto (see sealed.py), so that the rest of the client can be read, and tested, without it.
No I/O: keys are fetched by whoever gets NeedKeys. Everything changes `state`, which is saved with what it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol


class NeedKeys(Exception):
    """Nothing can be done before the keys of these users were fetched."""

    def __init__(self, users: tuple[int, ...]) -> None:
        super().__init__(f"keys of {len(users)} users are needed")
        self.users = users


class Changed(Exception):
    """This user's identity is not the one that is known; a person has to decide (`accept`)."""

    def __init__(self, user: int) -> None:
        super().__init__(f"the identity of user {user} has changed")
        self.user = user


class CannotRead(Exception):
    """A body that tells this device nothing. `ask`: its sender may help, unless it was read before (`ref`)."""

    def __init__(self, text: str, *, ask: bool, ref: int = 0) -> None:
        super().__init__(text)
        self.ask = ask
        self.ref = ref


class CannotSeal(Exception):
    """A plaintext that cannot be sent; the text says why."""


class Sealed(NamedTuple):
    """A body to be sent. `ref`: what a recipient that cannot read it asks for; 0: nothing to ask for."""

    body: bytes
    ref: int


class Opened(NamedTuple):
    """What a body held for this device."""

    plaintext: bytes | None
    """None: nothing to show."""
    asked: tuple[int, ...] = ()
    """The sender could not read these messages of ours (refs)."""
    unlocked: bool = False
    """Messages of this sender that could not be read may be readable now."""
    ref: int = 0
    """The sending device's number of it, authenticated: two bodies of one number are copies."""


Address = tuple[int, int]
"""(user, device)."""


class Cipher(Protocol):
    """The encryption of one device."""

    def seal(self, conv: int, users: Iterable[int], plaintext: bytes, *, direct: bool) -> list[Sealed]:
        """Bodies for the devices of these users and our own others, to be sent in this order.

        Raises NeedKeys, Changed, CannotSeal.
        """

    def open(self, conv: int, sender: Address, body: bytes) -> Opened:
        """Raises NeedKeys, Changed, CannotRead."""

    def ask(self, conv: int, sender: Address, bodies: Sequence[bytes]) -> Sealed:
        """A body that asks for what could not be read; wants fresh keys of the sender. Raises as `seal`."""

    def answer(self, conv: int, asker: Address, refs: Sequence[int]) -> list[Sealed]:
        """Bodies that answer what a device asked for. Raises as `seal`."""

    def list_version(self, user: int) -> int:
        """Of the newest device list that is known of this user; 0: none."""

    def state(self) -> bytes:
        """All of it, to be saved."""
