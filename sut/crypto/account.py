"""One device's end-to-end encryption, whole: what a chat client calls.

Sans-I/O: the client fetches and publishes keys over the HTTP API, sends the bodies and writes the saved state. The
order is the point of `save`: it is called with the new state before a ciphertext is returned, so that a crash between
the two costs a message and never uses a key twice.

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
    """A device of a user. Not thread-safe. Errors are CryptoError; what failed has changed nothing that matters."""

    def __init__(self, ring: Keyring, save: Save | None) -> None:
        """See `create` and `restore`."""
        self._ring = ring
        self._save = save

    @classmethod
    def create(
        cls, *, user: int, device: int, now_s: int, save: Save | None = None, one_time: int = ONE_TIME_BATCH
    ) -> Account:
        """A user's first device, with fresh keys. `now_s`: seconds since 1970."""
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
        """From what `save` was given last. Raises Malformed."""
        return cls(Keyring.load(state), save)

    @property
    def address(self) -> Address:
        """(user, device)."""
        return self._ring.address

    @property
    def identity_key(self) -> bytes:
        """This device's public identity key."""
        return self._ring.own.identity_key

    def state(self) -> bytes:
        """All of it, secrets included, as JSON."""
        return self._ring.save()

    # What the service is told, and tells.

    def publication(self) -> Publication:
        """What to publish now; call `published` when the service has it."""
        return self._ring.own.publication()

    def published(self, publication: Publication) -> None:
        """The service has it."""
        self._ring.own.published(publication)
        self._keep()

    def tend(self, *, now_s: int, one_time_left: int) -> bool:
        """Rotate the signed prekey and make one-time prekeys when it is time. Returns whether to publish; daily."""
        due = self._ring.own.rotate(now_s)
        if one_time_left < ONE_TIME_LOW:
            self._ring.own.make_one_time(ONE_TIME_BATCH - one_time_left)
            due = True
        if due:
            self._keep()
        return due

    def missing(self, users: Iterable[int]) -> tuple[int, ...]:
        """Whose keys must be fetched before something can be sent to all of these."""
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
        """What the service says of a user. Bundles of devices that the list does not name are ignored.

        `complete`: these are all that it has; a listed device without one holds up nobody's messages from now on.
        Raises Malformed, Refused, IdentityChanged: nothing is sent to this user until `accept`.
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
        """Begin sessions with all devices of these users now rather than with the first message. Raises as sealing."""
        sealing.make_ready(self._ring, sealing.recipients(self._ring, users))
        self._keep()

    def renew(self) -> None:
        """This state is an older copy of the device's: what it would send was sent before, for other messages.

        All sessions and own chains begin anew, with keys that are fetched anew, and refs go on far above.
        """
        self._ring.peers.clear()
        self._ring.chains.clear()
        self._ring.sent.clear()
        self._ring.next_ref += 1 << 32
        self._keep()

    # Who is who.

    def accept(self, user: int) -> None:
        """Somebody accepts that this user has another account key now."""
        before = self._ring.directory.lists(user)
        self._ring.directory.accept(user)
        self._forget_gone(user, before)
        self._keep()

    def verify(self, user: int) -> None:
        """Somebody compared the safety number."""
        self._ring.directory.verify(user)
        self._keep()

    def verified(self, user: int) -> bool:
        """Whether somebody has, and the account key is still that one."""
        known = self._ring.directory.known.get(user)
        return known is not None and known.verified and known.changed is None

    def safety_number(self, user: int) -> str:
        """The 60 digits to compare with this user. Raises NoSession when nothing is known of them."""
        own, other = self._ring.directory.lists(self.address[0]), self._ring.directory.lists(user)
        if own is None or other is None:
            raise NoSession((user,))
        return fingerprint.safety_number(
            own_key=own.account_key, own_user=self.address[0], other_key=other.account_key, other_user=user
        )

    def devices(self, user: int) -> tuple[int, ...]:
        """The devices that count for this user. Raises IdentityChanged."""
        return tuple(self._ring.directory.devices(user))

    def list_version(self, user: int) -> int:
        """Of the newest list of this user that is known; 0: none is."""
        found = self._ring.directory.lists(user)
        return found.version if found is not None else 0

    # Our own devices.

    @property
    def first(self) -> bool:
        """Whether this is the device that signs our user's list."""
        return self._own_list().devices[0] == (self.address[1], self.identity_key)

    @property
    def device_code(self) -> str:
        """What a person brings from this device to the first one, to have it linked: 30 digits."""
        return fingerprint.device_code(*self.address, self.identity_key)

    @property
    def account_number(self) -> str:
        """What is the same on all devices of our user: our half of every safety number, 30 digits."""
        return fingerprint.half(self._own_list().account_key, fingerprint.name_of(self.address[0]))

    @property
    def device_list(self) -> bytes:
        """Our user's list, to be published."""
        return self._ring.directory.known[self.address[0]].current

    def link(self, device: int, identity_key: bytes) -> bytes:
        """Add a device of our user, whose key was brought here by hand; only the first device can. Returns the list."""
        others = [entry for entry in self._own_list().devices if entry[0] != device]
        return self._relist([*others, (device, identity_key)])

    def unlink(self, device: int) -> bytes:
        """Take a device off, lost or stolen; only the first device can, and not itself. Returns the list."""
        return self._relist([entry for entry in self._own_list().devices if entry[0] != device])

    def adopt(self, device_list: bytes) -> None:
        """This device was linked: the list of our user, which names it. Raises Malformed, Refused."""
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
        """A body for a 1:1 conversation. Raises NoSession (fetch keys of its `users`), IdentityChanged, TooLarge."""
        body = sealing.direct(self._ring, conv, users, plaintext)
        self._keep()
        return body

    def seal_group(self, conv: int, users: Iterable[int], plaintext: bytes) -> list[bytes]:
        """The bodies for a group whose members now are `users`, to be sent in this order. Raises the same."""
        bodies = sealing.group(self._ring, conv, users, plaintext)
        self._keep()
        return bodies

    def open(self, conv: int, *, sender: Address, body: bytes) -> Opened:
        """What a body holds for this device. Raises Malformed, Refused, Unreadable, Repeated, NoSession,
        IdentityChanged. Unreadable: keep the body, fetch the sender's keys anew, and send what `ask_again` returns.
        """
        opened = opening.open_body(self._ring, conv, sender, body)
        self._keep()
        return opened

    def ask_again(self, conv: int, *, sender: Address, bodies: Sequence[bytes]) -> bytes:
        """A body that asks for these messages, which could not be read, in a new session. Takes an unused bundle."""
        refs = [envelopes.parse(body).ref for body in bodies]
        body = sealing.ask_again(self._ring, conv, sender, refs)
        self._keep()
        return body

    def answer(self, conv: int, *, asker: Address, refs: Iterable[int]) -> list[bytes]:
        """Bodies that answer `Opened.asked`, of which the caller leaves out what the asker's user may not see."""
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
        """Sessions, chains and bundles of devices that are not on the list any more, or have another key."""
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
