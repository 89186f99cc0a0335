"""Key exchange over the HTTP API: what this device publishes, and what it learns of other users.

Publishing sends the signed prekey, one-time prekeys and the user's device list. It is repeated after a reconnect if an
hour has passed. Fetching uses up a one-time prekey of each device of the user. So keys are fetched only when something
waits for them, or when a user announces a device list newer than the known one.
"""

from __future__ import annotations

import contextlib
from typing import Final, NamedTuple

from sut.client.core import Core
from sut.client.errors import ApiProblem
from sut.client.messages.sealed import Encryption
from sut.client.service.api import Api
from sut.crypto import device_list
from sut.crypto.errors import CryptoError, IdentityChanged
from sut.crypto.prekeys import Bundle, Publication
from sut.protocol.api_answers import BundleOf, OneTimePrekeyOf, SignedPrekeyOf

EVERY_S: Final = 3600.0
MAX_STEPS: Final = 1_000
"""The largest number of versions by which a new list can be raised above the list that it replaces."""


class NoKeys(ApiProblem):
    """This user has never published keys: they have never used the client."""


class Learned(NamedTuple):
    """A user's device list and key bundles, as fetched from the service."""

    device_list: bytes
    bundles: tuple[Bundle, ...]


class Published(NamedTuple):
    """The keys of this device that the service has now."""

    publication: Publication
    one_time_left: int
    highest: int
    """The highest number of a one-time prekey that this device ever published."""
    device_list: bytes


class Accounts:
    """The keys of one device. Methods that do I/O raise ApiProblem; the others must be called in a step."""

    def __init__(self, core: Core, api: Api, encryption: Encryption) -> None:
        self._core = core
        self._api = api
        self._account = encryption.account
        self._published_at = float("-inf")

    @property
    def joined(self) -> bool:
        """True if this device is one of the person's devices, as of the last commit."""
        return bool(self._core.state.get("joined"))

    @property
    def listed(self) -> bool:
        """True if this device is on the newest known device list of its person."""
        try:
            return self._core.device in self._account.devices(self._core.me)
        except IdentityChanged:
            return False

    @property
    def identity_key(self) -> bytes:
        """This device's public identity key."""
        return self._account.identity_key

    @property
    def code(self) -> str:
        """The code that the first device needs to add this one."""
        return self._account.device_code

    @property
    def number(self) -> str:
        """The account number, which is the same on all devices of this person."""
        return self._account.account_number

    @property
    def due(self) -> bool:
        """True if it is time to publish again."""
        return self._core.clock() - self._published_at >= EVERY_S

    async def fetch(self, user: int) -> Learned:
        """Return a user's device list and one bundle per device. Raises ApiProblem, and NoKeys if nothing was
        published.
        """
        found = await self._api.keys(user)
        if not found.device_list:
            raise NoKeys(f"{self._core.called(user)} has not been here yet")
        return Learned(found.device_list, tuple(_bundle(one) for one in found.devices))

    def absent(self, user: int) -> None:
        """Note that this user has no keys, and tell the person once."""
        if user not in self._core.absent:
            self._core.absent.add(user)
            name = self._core.called(user)
            self._core.say(f"{name} has not been here yet: what you write to {name} waits until then; groups do not")

    def learn(self, user: int, learned: Learned) -> None:
        """Store fetched keys. Keys that are not genuine are reported and dropped."""
        self._core.absent.discard(user)
        try:
            self._account.learn(user, learned.device_list, learned.bundles, complete=True)
        except IdentityChanged:
            pass  # reported when something is encrypted or read
        except CryptoError as error:
            self._core.say(f"the service offers keys of {self._core.called(user)} that are not genuine: {error}")
        self._save()

    async def publish(self, *, listed: bool = True) -> Published:
        """Publish this device's keys and, if `listed`, the person's device list."""
        publication = self._account.publication()
        data = self._account.device_list if listed else b""
        told = await self._api.publish(
            identity_key=publication.identity_key,
            signed=SignedPrekeyOf(publication.signed_number, publication.signed_key, publication.signature),
            one_time=[OneTimePrekeyOf(number, key) for number, key in publication.one_time],
            list_version=device_list.parse(data).version if data else 0,
            list_data=data,
        )
        return Published(publication, told.one_time, told.highest, data)

    def published(self, done: Published) -> bool:
        """Note what was published. Returns True if there is more to publish."""
        self._published_at = self._core.clock()
        self._account.published(done.publication, highest=done.highest)
        more = self._account.tend(now_s=self._core.wall_ms() // 1000, one_time_left=done.one_time_left)
        self._save()
        return more

    # In a step: the standing of this device among the person's devices.

    def begun(self, published: Published) -> None:
        """Note that this device is the first one of its person's account."""
        self._joined(arriving=device_list.parse(self._account.device_list).version > 1)
        self.published(published)

    def offered(self, published: Published) -> None:
        """Note that the service has this device's keys, before the device is added."""
        self._account.published(published.publication, highest=published.highest)
        self._save()

    def added(self, listed: bytes) -> None:
        """Adopt a device list that names this device. Raises CryptoError."""
        self._account.adopt(listed)
        self._joined(arriving=not self._account.first)
        self._save()

    def outranked(self, learned: Learned) -> None:
        """Raise the version of the own list if the service refused it for `learned`: the first device decides."""
        mine = self._account.device_list
        self.learn(self._core.me, learned)
        if self.listed and self._account.first and self._account.device_list == mine != learned.device_list:
            with contextlib.suppress(CryptoError):  # not genuine; reported already
                self.outrank(learned.device_list)

    def outrank(self, listed: bytes) -> None:
        """Raise the version of the own list above that of `listed`."""
        theirs = device_list.parse(listed).version
        for _ in range(MAX_STEPS):
            if device_list.parse(self._account.device_list).version > theirs:
                break
            self._account.unlink(0)  # changes only the version
        self._save()

    def is_news(self, published: Published) -> bool:
        """Return True if this is the first device and the list has changed since the last call that returned True."""
        version = device_list.parse(published.device_list).version
        if not self._account.first or version <= self._core.state.number("told_list", 1):
            return False
        self._core.state.put("told_list", str(version).encode())
        return True

    def _joined(self, *, arriving: bool) -> None:
        self._core.state.put("joined", b"1")
        self._core.arriving = arriving
        self._core.state.put("arriving", b"1" if arriving else b"")

    def _save(self) -> None:
        self._core.state.put("cipher", self._account.state())


def _bundle(one: BundleOf) -> Bundle:
    signed, one_time = one.signed_prekey, one.one_time
    return Bundle(
        one.device,
        one.identity_key,
        signed.number,
        signed.key,
        signed.signature,
        one_time.number if one_time else 0,
        one_time.key if one_time else b"",
    )
