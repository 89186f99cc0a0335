"""The end-to-end encryption of one device: the interface for chat clients.

Sans-I/O: the client fetches and publishes keys over the HTTP API, sends the bodies and writes the saved state. `save`
is called with the new state before a ciphertext is returned. So a crash between the two costs a message, and never
uses a key twice.

    account = Account.create(user=1, device=11, now_s=..., save=write_file)
    publish(account.publication(), account.device_list)         PUT /v1/keys
    for user in account.missing([2]): account.learn(user, ...)  GET /v1/users/2/keys
    body = account.seal_direct(conv, [2], b"hello")             SEND
    account.open(conv, sender=(2, 21), body=...).plaintext      MESSAGE or PAGE
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from sut.crypto import device_list as lists
from sut.crypto import envelope as envelopes
from sut.crypto import fingerprint, opening, primitives, sealing
from sut.crypto.device_list import DeviceList
from sut.crypto.directory import Known
from sut.crypto.errors import CryptoError, Malformed, NoSession, Refused
from sut.crypto.keyring import MAX_PEERS, Keyring, keep
from sut.crypto.opening import Opened
from sut.crypto.peer_sessions import Address
from sut.crypto.prekeys import ONE_TIME_BATCH, ONE_TIME_LOW, Bundle, OwnKeys, Publication

Save = Callable[[bytes], None]
_FIRST_VERSION: Final = 1


class Account:
    """The keys and sessions of one device. Not thread-safe. Errors are CryptoError; a failed call changes nothing
    important.
    """

    def __init__(self, ring: Keyring, save: Save | None) -> None:
        """Use `create` or `restore`."""
        self._ring = ring
        self._save = save

    @classmethod
    def create(
        cls, *, user: int, device: int, now_s: int, save: Save | None = None, one_time: int = ONE_TIME_BATCH
    ) -> Account:
        """Create a user's first device, with fresh keys. `now_s`: Unix time in seconds."""
        own = OwnKeys(primitives.random_key())
        own.rotate(now_s)
        own.make_one_time(one_time)
        account = cls(Keyring((user, device), own), save)
        alone = DeviceList(user=user, version=_FIRST_VERSION, devices=((device, own.identity_key),))
        account._ring.directory.learn(user, lists.signed(alone, own.identity))
        account._keep()
        return account

    @classmethod
    def restore(cls, state: bytes, save: Save | None = None) -> Account:
        """Restore the account from the state that `save` got last. Raises Malformed."""
        return cls(Keyring.load(state), save)

    @property
    def address(self) -> Address:
        """The device's address: (user, device)."""
        return self._ring.address

    @property
    def identity_key(self) -> bytes:
        """This device's public identity key."""
        return self._ring.own.identity_key

    def state(self) -> bytes:
        """Return the whole state, secrets included, as JSON."""
        return self._ring.save()

    # Keys to and from the service.

    def publication(self) -> Publication:
        """Return the keys to publish now. Call `published` when the service has them."""
        return self._ring.own.publication()

    def published(self, publication: Publication, *, highest: int = 0) -> None:
        """Note that the service has these keys. `highest`: the highest number of a one-time prekey that it ever had."""
        self._ring.own.published(publication)
        self._ring.own.go_on_above(highest)
        self._keep()

    def tend(self, *, now_s: int, one_time_left: int) -> bool:
        """Rotate the signed prekey and make one-time prekeys when needed. Call it daily. Returns True if keys must be
        published.
        """
        due = self._ring.own.rotate(now_s)
        if one_time_left < ONE_TIME_LOW:
            self._ring.own.make_one_time(ONE_TIME_BATCH - one_time_left)
            due = True
        if due:
            self._keep()
        return due

    def missing(self, users: Iterable[int]) -> tuple[int, ...]:
        """Return the users whose keys must be fetched before something can be sent to all of `users`."""
        found = []
        for user in sorted(set(users)):
            devices = self._ring.directory.devices(user)
            addresses = [(user, device) for device in devices]
            others = [one for one in addresses if one != self.address and self._ring.reachable(one)]
            lacking = any(not self._ring.peer(one).ready and one not in self._ring.bundles for one in others)
            if lacking or not devices:
                found.append(user)
        return tuple(found)

    def learn(self, user: int, device_list: bytes, bundles: Iterable[Bundle], *, complete: bool = False) -> None:
        """Store what the service says of a user. Bundles of devices that are not on the list are ignored.

        `complete`: the bundles are all that the service has. From now on no message waits for a listed device without
        one. Raises Malformed, Refused, IdentityChanged: nothing is sent to this user until `accept`.
        """
        before = self._ring.directory.lists(user)
        found = self._ring.directory.learn(user, device_list)
        bundles = tuple(bundles)
        having = {(user, bundle.device) for bundle in bundles}
        self._ring.keyless -= having
        if complete:
            self._ring.keyless |= {(user, device) for device in found.keys} - having
        for bundle in bundles:
            address = (user, bundle.device)
            if found.keys.get(bundle.device) == bundle.identity_key and address != self.address:
                bundle.check()
                keep(self._ring.bundles, address, bundle, MAX_PEERS)
        self._forget_gone(user, before)
        self._keep()

    def prepare(self, users: Iterable[int]) -> None:
        """Start sessions with all devices of these users now, and not with the first message.

        Raises as sealing does.
        """
        sealing.make_ready(self._ring, sealing.recipients(self._ring, users))
        self._keep()

    def renew(self) -> None:
        """Restart all sessions and own chains: this state is an older copy, and its keys were used for other messages.

        Sessions start again with freshly fetched keys, and refs continue far above the old ones.
        """
        self._ring.peers.clear()
        self._ring.chains.clear()
        self._ring.sent.clear()
        self._ring.next_ref += 1 << 32
        self._keep()

    # Identities of users.

    def accept(self, user: int) -> None:
        """Accept the changed account key of this user, by the decision of a person."""
        before = self._ring.directory.lists(user)
        self._ring.directory.accept(user)
        self._forget_gone(user, before)
        self._keep()

    def verify(self, user: int) -> None:
        """Note that a person has compared the safety number."""
        self._ring.directory.verify(user)
        self._keep()

    def verified(self, user: int) -> bool:
        """Return True if a person has compared the safety number, and the account key has not changed since."""
        known = self._ring.directory.known.get(user)
        return known is not None and known.verified and known.changed is None

    def safety_number(self, user: int) -> str:
        """Return the 60 digits to compare with this user. Raises NoSession when nothing is known of them."""
        own, other = self._ring.directory.lists(self.address[0]), self._ring.directory.lists(user)
        if own is None or other is None:
            raise NoSession((user,))
        return fingerprint.safety_number(
            own_key=own.account_key, own_user=self.address[0], other_key=other.account_key, other_user=user
        )

    def devices(self, user: int) -> tuple[int, ...]:
        """Return the devices on this user's list. Raises IdentityChanged."""
        return tuple(self._ring.directory.devices(user))

    def list_version(self, user: int) -> int:
        """Return the version of this user's newest known list; 0 if none is known."""
        found = self._ring.directory.lists(user)
        return found.version if found is not None else 0

    # The user's own devices.

    @property
    def first(self) -> bool:
        """True if this is the device that signs the user's list."""
        return self._own_list().devices[0] == (self.address[1], self.identity_key)

    @property
    def device_code(self) -> str:
        """The 30 digits that a person types on the first device to link this one."""
        return fingerprint.device_code(*self.address, self.identity_key)

    @property
    def account_number(self) -> str:
        """The 30 digits that are the same on all devices of the user: this user's half of every safety number."""
        return fingerprint.half(self._own_list().account_key, fingerprint.name_of(self.address[0]))

    @property
    def device_list(self) -> bytes:
        """The user's own list, to be published."""
        return self._ring.directory.known[self.address[0]].current

    def link(self, device: int, identity_key: bytes) -> bytes:
        """Add a device of this user, whose key a person brought here; only the first device can. Returns the list."""
        others = [entry for entry in self._own_list().devices if entry[0] != device]
        return self._relist([*others, (device, identity_key)])

    def unlink(self, device: int) -> bytes:
        """Remove a lost or stolen device; only the first device can, and not itself. Returns the list."""
        return self._relist([entry for entry in self._own_list().devices if entry[0] != device])

    def adopt(self, device_list: bytes) -> None:
        """Adopt the user's list, which names this device: it was linked. Raises Malformed, Refused."""
        found = lists.parse(device_list)
        if found.user != self.address[0] or found.keys.get(self.address[1]) != self.identity_key:
            raise Refused("device list: it does not name this device with its key")
        directory = self._ring.directory
        directory.known[found.user] = Known(directory.known[found.user].current, changed=device_list)
        directory.accept(found.user)
        self._forget_gone(found.user, None)
        self._keep()

    # Messages.

    def seal_direct(self, conv: int, users: Iterable[int], plaintext: bytes) -> bytes:
        """Return a body for a 1:1 conversation. Raises NoSession (fetch the keys of its `users`), IdentityChanged,
        TooLarge.
        """
        body = sealing.direct(self._ring, conv, users, plaintext)
        self._keep()
        return body

    def seal_group(self, conv: int, users: Iterable[int], plaintext: bytes) -> list[bytes]:
        """Return the bodies for a group whose members are `users` now, in the order to send them. Raises as
        `seal_direct`.
        """
        bodies = sealing.group(self._ring, conv, users, plaintext)
        self._keep()
        return bodies

    def open(self, conv: int, *, sender: Address, body: bytes) -> Opened:
        """Decrypt a body. Raises Malformed, Refused, Unreadable, Repeated, NoSession, IdentityChanged.

        Unreadable: keep the body, fetch the sender's keys again, and send what `ask_again` returns.
        """
        opened = opening.open_body(self._ring, conv, sender, body)
        self._keep()
        return opened

    def ask_again(self, conv: int, *, sender: Address, bodies: Sequence[bytes]) -> bytes:
        """Return a body that asks for these unreadable messages, in a new session. Needs an unused bundle."""
        refs = [envelopes.parse(body).ref for body in bodies]
        body = sealing.ask_again(self._ring, conv, sender, refs)
        self._keep()
        return body

    def answer(self, conv: int, *, asker: Address, refs: Iterable[int]) -> list[bytes]:
        """Return bodies that answer `Opened.asked`. The caller must leave out what the asker's user may not see."""
        bodies = sealing.answer(self._ring, conv, asker, refs)
        self._keep()
        return bodies

    def _own_list(self) -> DeviceList:
        found = self._ring.directory.lists(self.address[0])
        assert found is not None, "an account knows itself"
        return found

    def _relist(self, devices: list[tuple[int, bytes]]) -> bytes:
        now = self._own_list()
        if now.devices[0][0] != self.address[1]:
            raise CryptoError("only the first device of a user changes the list")
        user = now.user
        changed = DeviceList(user=user, version=now.version + 1, devices=tuple(devices))
        try:
            signed = lists.signed(changed, self._ring.own.identity)
        except ValueError as error:
            raise Malformed(str(error)) from None
        self._ring.directory.learn(user, signed)
        self._forget_gone(user, now)
        self._keep()
        return signed

    def _forget_gone(self, user: int, before: DeviceList | None) -> None:
        """Drop the sessions, chains and bundles of devices that have left the list or have another key."""
        devices = self._ring.directory.devices(user)
        gone = {device for device, key in before.devices if devices.get(device) != key} if before is not None else ()
        for place in [place for place in self._ring.followers if place[1] in gone]:
            del self._ring.followers[place]
        self._ring.keyless -= {(user, device) for device in gone}
        for address, peer in list(self._ring.peers.items()):
            if address[0] == user and devices.get(address[1]) != peer.identity_key:
                del self._ring.peers[address]
        for address, bundle in list(self._ring.bundles.items()):
            if address[0] == user and devices.get(address[1]) != bundle.identity_key:
                del self._ring.bundles[address]

    def _keep(self) -> None:
        if self._save is not None:
            self._save(self._ring.save())
