"""The keys of one device and their form as JSON: keys, sessions, chains, and the keys of the newest own messages.

Each collection is bounded; the oldest entries are dropped first. `SavedKeyring` is the whole state: nothing else
survives a restart.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from sut.crypto.directory import Directory, Known
from sut.crypto.envelope import Unwrapped
from sut.crypto.errors import CryptoError, Malformed, NoSession
from sut.crypto.peer_sessions import Address, PeerSessions, SavedPeer
from sut.crypto.prekeys import Bundle, OwnKeys
from sut.crypto.sender_key import Follower, OwnChain

MAX_PEERS: Final = 5_000
MAX_SENT: Final = 500
"""Own messages whose keys are kept, for devices that ask for them again."""
MAX_LATE: Final = 500
"""Keys that were received for messages which are still to be read."""
MAX_FOLLOWED: Final = 50_000
"""(conversation, device) pairs whose sender keys are kept."""
FORMAT: Final = 1

K = TypeVar("K")
V = TypeVar("V")


class SavedKeyring(msgspec.Struct):
    """The whole state of a device, secrets included."""

    format: int
    user: int
    device: int
    own: OwnKeys
    next_ref: int
    known: dict[int, Known]
    peers: list[tuple[int, int, SavedPeer]]
    bundles: list[tuple[int, Bundle]]
    chains: dict[int, OwnChain]
    followers: list[tuple[int, int, Follower]]
    sent: list[tuple[int, Unwrapped]]
    late: list[tuple[int, int, Unwrapped]]


class Keyring:
    """The keys and sessions of a device, in memory."""

    def __init__(self, address: Address, own: OwnKeys, known: dict[int, Known] | None = None) -> None:
        self.address = address
        self.own = own
        self.directory = Directory(known)
        self.next_ref = 1
        self.peers: dict[Address, PeerSessions] = {}
        self.bundles: dict[Address, Bundle] = {}
        """Bundles that were fetched, and not used for a session yet."""
        self.keyless: set[Address] = set()
        """Devices on a list whose keys the service does not have: revoked there, perhaps by a thief. Nothing waits for
        them.
        """
        self.chains: dict[int, OwnChain] = {}
        """Conversation -> the chain that this device sends with."""
        self.followers: dict[Address, Follower] = {}
        """(conversation, device) -> the chains of that device."""
        self.sent: dict[tuple[int, int], Unwrapped] = {}
        """(conversation, ref) -> the key of an own message."""
        self.late: dict[tuple[int, int, int], Unwrapped] = {}
        """(conversation, device, ref) -> a key for another device's message that is still to be read."""

    def peer(self, address: Address) -> PeerSessions:
        """Return the sessions with a device on a known user's list. Raises NoSession, IdentityChanged."""
        user, device = address
        identity_key = self.directory.devices(user).get(device)
        if identity_key is None:
            raise NoSession((user,))
        peer = self.peers.pop(address, None)
        if peer is None or peer.identity_key != identity_key:
            peer = PeerSessions(self.own, self.address, address, identity_key)
        keep(self.peers, address, peer, MAX_PEERS)  # the last one used is the last one dropped
        return peer

    def reachable(self, address: Address) -> bool:
        """Return True if something can be encrypted for the device, now or once its keys are fetched."""
        if address not in self.keyless:
            return True
        peer = self.peers.get(address)
        return peer is not None and peer.ready

    def ready_peer(self, address: Address) -> PeerSessions:
        """Return `peer` with a session to send with, started from a bundle if needed. Raises NoSession, and as `peer`
        does.
        """
        peer = self.peer(address)
        if not peer.ready:
            bundle = self.bundles.pop(address, None)
            if bundle is None:
                raise NoSession((address[0],))
            peer.begin(bundle)
        return peer

    def take_ref(self) -> int:
        """Return a number that this device uses only once."""
        ref = self.next_ref
        self.next_ref += 1
        return ref

    def save(self) -> bytes:
        """Return the whole state as JSON."""
        saved = SavedKeyring(
            format=FORMAT,
            user=self.address[0],
            device=self.address[1],
            own=self.own,
            next_ref=self.next_ref,
            known=self.directory.known,
            peers=[(user, device, peer.save()) for (user, device), peer in self.peers.items()],
            bundles=[(user, bundle) for (user, _), bundle in self.bundles.items()],
            chains=self.chains,
            followers=[(conv, device, follower) for (conv, device), follower in self.followers.items()],
            sent=[(conv, key) for (conv, _), key in self.sent.items()],
            late=[(conv, device, key) for (conv, device, _), key in self.late.items()],
        )
        return msgspec.json.encode(saved)

    @classmethod
    def load(cls, data: bytes) -> Keyring:
        """Restore what `save` returned. Raises Malformed."""
        try:
            saved = msgspec.json.decode(data, type=SavedKeyring)
            if saved.format != FORMAT:
                raise Malformed(f"saved state: format {saved.format} is not known")
            keyring = cls((saved.user, saved.device), saved.own, saved.known)
            for user, device, peer in saved.peers:
                loaded = PeerSessions(keyring.own, keyring.address, (user, device), peer.identity_key)
                loaded.load(peer)
                keyring.peers[user, device] = loaded
        except (msgspec.DecodeError, CryptoError) as error:
            raise Malformed(f"saved state: {error}") from None
        keyring.next_ref = saved.next_ref
        keyring.bundles = {(user, bundle.device): bundle for user, bundle in saved.bundles}
        keyring.chains = saved.chains
        keyring.followers = {(conv, device): follower for conv, device, follower in saved.followers}
        keyring.sent = {(conv, key.ref): key for conv, key in saved.sent}
        keyring.late = {(conv, device, key.ref): key for conv, device, key in saved.late}
        return keyring


def keep(where: dict[K, V], key: K, value: V, limit: int) -> None:
    """Put an entry last, and drop the first ones while there are more than `limit`."""
    where.pop(key, None)
    where[key] = value
    while len(where) > limit:
        del where[next(iter(where))]
