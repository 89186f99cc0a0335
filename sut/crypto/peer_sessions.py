"""All sessions with one other device: one to send with, and the older ones for what is still under way.

Two devices that write to each other at the same moment begin two sessions; each receives in both and sends in the one
it received in last, so they meet in one. A session that repair replaced can still read what was sent in it before.
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
"""(user, device)."""
MAX_SESSIONS: Final = 5
"""With one device, the one in use included; the one that was read in longest ago goes first."""
MAX_READ: Final = 100
"""Sections read last from one device, remembered to tell a copy from what cannot be read: a ratchet cannot, once it has
turned."""
MAX_ASKS: Final = 8
"""Requests for repair that one device gets from us until one of its messages could be read again."""


class SavedPeer(msgspec.Struct):
    """As they are saved."""

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
        """Requests for repair since something could be read."""
        self._read: dict[bytes, None] = {}

    @property
    def ready(self) -> bool:
        """Whether there is a session to send with."""
        return bool(self._sessions)

    def begin(self, bundle: Bundle) -> None:
        """A new session to send with. Raises Malformed, Refused, IdentityChanged."""
        if bundle.identity_key != self.identity_key:
            raise IdentityChanged(self._address[0])
        self._put_first(Session.begin(self._own, bundle, _addresses(self._own_address, self._address)))

    def seal(self, plaintext: bytes, bound: bytes) -> Sealed:
        """Encrypt in the session in use; there must be one."""
        return self._sessions[0].seal(plaintext, bound)

    def open(self, *, first: bool, data: bytes, bound: bytes) -> bytes:
        """Decrypt in whichever session it belongs to. Raises Malformed, Unreadable, Repeated, Refused."""
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
        """All of it, secrets included."""
        return SavedPeer(self.identity_key, [session.save() for session in self._sessions], self.asks, list(self._read))

    def load(self, saved: SavedPeer) -> None:
        """What was saved. Raises Malformed."""
        self._sessions = [Session.load(session) for session in saved.sessions[:MAX_SESSIONS]]
        self.asks = saved.asks
        self._read = dict.fromkeys(saved.read)


def _addresses(initiator: Address, responder: Address) -> bytes:
    """Who speaks with whom, bound into every message of the session."""
    return b"".join(number(part, 8) for part in (*initiator, *responder))
