"""All sessions with one other device: one to send with, and older ones for messages in transit.

Two devices that write to each other at the same time start two sessions. Each device receives in both, and sends in the
one that it last received in, so they converge on one. A replaced session can still read what was sent in it before.
"""

from __future__ import annotations

from typing import Final

import msgspec

from sut.crypto.errors import CryptoError, IdentityChanged, Refused, Repeated, Unreadable
from sut.crypto.prekeys import Bundle, OwnKeys
from sut.crypto.primitives import digest
from sut.crypto.ratchet import Saved, Sealed, Session, split_opening
from sut.crypto.wire import number

Address = tuple[int, int]
"""A device's address: (user, device)."""
MAX_SESSIONS: Final = 5
"""The most sessions with one device, the current one included. The one read in longest ago is dropped first."""
MAX_READ: Final = 100
"""The sections of one device that are remembered as read. They tell a copy from an unreadable section.

A ratchet cannot tell them apart once it has turned.
"""
MAX_ASKS: Final = 8
"""The most repair requests to one device, until one of its messages can be read again."""


class SavedPeer(msgspec.Struct):
    """The sessions with one device as saved."""

    identity_key: bytes
    sessions: list[Saved]
    asks: int = 0
    read: list[bytes] = []


class PeerSessions:
    """The sessions of `own` with the device at `address`, whose identity key is known."""

    def __init__(self, own: OwnKeys, own_address: Address, address: Address, identity_key: bytes) -> None:
        self._own = own
        self._own_address = own_address
        self._address = address
        self.identity_key = identity_key
        self._sessions: list[Session] = []
        self.asks = 0
        """The repair requests since a message could last be read."""
        self._read: dict[bytes, None] = {}

    @property
    def ready(self) -> bool:
        """True if there is a session to send with."""
        return bool(self._sessions)

    def begin(self, bundle: Bundle) -> None:
        """Start a new session to send with. Raises Malformed, Refused, IdentityChanged."""
        if bundle.identity_key != self.identity_key:
            raise IdentityChanged(self._address[0])
        self._put_first(Session.begin(self._own, bundle, _addresses(self._own_address, self._address)))

    def seal(self, plaintext: bytes, bound: bytes) -> Sealed:
        """Encrypt in the current session; there must be one."""
        return self._sessions[0].seal(plaintext, bound)

    def open(self, *, first: bool, data: bytes, bound: bytes) -> bytes:
        """Decrypt in the session that the data belongs to. Raises Malformed, Unreadable, Repeated, Refused,
        IdentityChanged.
        """
        mark = digest(data)[:16]
        if mark in self._read:
            raise Repeated("section: it was read before")
        plaintext = self._open_first(data, bound) if first else self._open_in_any(data, bound)
        self.asks = 0
        self._read[mark] = None
        while len(self._read) > MAX_READ:
            del self._read[next(iter(self._read))]
        return plaintext

    def _open_first(self, data: bytes, bound: bytes) -> bytes:
        opening, rest = split_opening(data)
        if opening.identity_key != self.identity_key:
            raise IdentityChanged(self._address[0])
        for session in self._sessions:
            if session.base == opening.ephemeral_key:
                plaintext = session.open(rest, bound)
                self._put_first(session)
                return plaintext
        addresses = _addresses(self._address, self._own_address)
        session, plaintext = Session.answer(self._own, opening, data=rest, bound=bound, addresses=addresses)
        self._own.used(opening.one_time_number)
        self._put_first(session)
        return plaintext

    def _open_in_any(self, data: bytes, bound: bytes) -> bytes:
        repeated: CryptoError | None = None
        for session in self._sessions:
            try:
                plaintext = session.open(data, bound)
            except (Refused, Unreadable):
                continue
            except Repeated as error:
                repeated = error
                continue
            self._put_first(session)
            return plaintext
        raise repeated or Unreadable("section: of no session that is known here, or changed on the way")

    def _put_first(self, session: Session) -> None:
        others = [other for other in self._sessions if other is not session]
        self._sessions = [session, *others][:MAX_SESSIONS]

    def save(self) -> SavedPeer:
        """Return the sessions, secrets included."""
        return SavedPeer(self.identity_key, [session.save() for session in self._sessions], self.asks, list(self._read))

    def load(self, saved: SavedPeer) -> None:
        """Restore what `save` returned. Raises Malformed."""
        self._sessions = [Session.load(session) for session in saved.sessions[:MAX_SESSIONS]]
        self.asks = saved.asks
        self._read = dict.fromkeys(saved.read)


def _addresses(initiator: Address, responder: Address) -> bytes:
    """Return the addresses of both devices, which are bound into every message of the session."""
    return b"".join(number(part, 8) for part in (*initiator, *responder))
