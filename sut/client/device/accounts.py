"""Keys over the HTTP API: what this device publishes, what it learns of others.

Publishing tells the service the signed prekey, one-time prekeys and the user's device list; it is repeated when the
connection is back and an hour has passed. Fetching takes a one-time prekey of each device of the user, so it is done
only when something waits for it, or when somebody says that their list is newer than the one that is known.
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
"""How far a new device's list may have to step over the versions of the one before."""


class NoKeys(ApiProblem):
    """This user has never published any: they have not been here yet."""


class Learned(NamedTuple):
    """What the service says of a user."""

    device_list: bytes
    bundles: tuple[Bundle, ...]


class Published(NamedTuple):
    """What the service has of this device now."""

    publication: Publication
    one_time_left: int
    device_list: bytes


class Accounts:
    """Of one device. Calls that do I/O raise ApiProblem; the others belong in a step."""

    def __init__(self, core: Core, api: Api, encryption: Encryption) -> None:
        self._core = core
        self._api = api
        self._account = encryption.account
        self._published_at = float("-inf")

    @property
    def joined(self) -> bool:
        """Whether this device is one of its person's, as of the last commit."""
        return bool(self._core.state.get("joined"))

    @property
    def listed(self) -> bool:
        """Whether it still is, by the newest list that is known."""
        try:
            return self._core.device in self._account.devices(self._core.me)
        except IdentityChanged:
            return False

    @property
    def identity_key(self) -> bytes:
        """This device's."""
        return self._account.identity_key

    @property
    def code(self) -> str:
        """What the first device needs to add this one."""
        return self._account.device_code

    @property
    def number(self) -> str:
        """What is the same on all devices of this person."""
        return self._account.account_number

    @property
    def due(self) -> bool:
        """Whether to publish again."""
        return self._core.clock() - self._published_at >= EVERY_S

    async def fetch(self, user: int) -> Learned:
        """A user's device list and a bundle of each device. Raises NoKeys too."""
        found = await self._api.keys(user)
        if not found.device_list:
            raise NoKeys(f"{self._core.called(user)} has not been here yet")
        return Learned(found.device_list, tuple(_bundle(one) for one in found.devices))

    def absent(self, user: int) -> None:
        """This user has no keys; say so once."""
        if user not in self._core.absent:
            self._core.absent.add(user)
            name = self._core.called(user)
            self._core.say(f"{name} has not been here yet: what you write to {name} waits until then; groups do not")

    def learn(self, user: int, learned: Learned) -> None:
        """Take what was fetched; what is not genuine is not taken."""
        self._core.absent.discard(user)
        try:
            self._account.learn(user, learned.device_list, learned.bundles, complete=True)
        except IdentityChanged:
            pass  # said when something is encrypted or read
        except CryptoError as error:
            self._core.say(f"the service offers keys of {self._core.called(user)} that are not genuine: {error}")
        self._save()

    async def publish(self, *, listed: bool = True) -> Published:
        """Tell the service this device's keys, and the list of the person's devices."""
        publication = self._account.publication()
        data = self._account.device_list if listed else b""
        left = await self._api.publish(
            identity_key=publication.identity_key,
            signed=SignedPrekeyOf(publication.signed_number, publication.signed_key, publication.signature),
            one_time=[OneTimePrekeyOf(number, key) for number, key in publication.one_time],
            list_version=device_list.parse(data).version if data else 0,
            list_data=data,
        )
        return Published(publication, left, data)

    def published(self, done: Published) -> bool:
        """It was told. Returns whether there is more to tell."""
        self._published_at = self._core.clock()
        self._account.published(done.publication)
        more = self._account.tend(now_s=self._core.wall_ms() // 1000, one_time_left=done.one_time_left)
        self._save()
        return more

    # In a step: what this device is to its person.

    def begun(self, published: Published) -> None:
        """It is the first of its person's account."""
        self._joined(arriving=device_list.parse(self._account.device_list).version > 1)
        self.published(published)

    def offered(self, published: Published) -> None:
        """The service has the keys by which it will be known, once it is added."""
        self._account.published(published.publication)
        self._save()

    def added(self, listed: bytes) -> None:
        """The first device has added it, or had it before. Raises CryptoError."""
        self._account.adopt(listed)
        self._joined(arriving=not self._account.first)
        self._save()

    def outranked(self, learned: Learned) -> None:
        """The service refused our list for this one; as the first device of the account it has the last word."""
        mine = self._account.device_list
        self.learn(self._core.me, learned)
        if self.listed and self._account.first and self._account.device_list == mine != learned.device_list:
            with contextlib.suppress(CryptoError):  # not genuine, which was said
                self.outrank(learned.device_list)

    def outrank(self, listed: bytes) -> None:
        """Our list gets a higher version than this one."""
        theirs = device_list.parse(listed).version
        for _ in range(MAX_STEPS):
            if device_list.parse(self._account.device_list).version > theirs:
                break
            self._account.unlink(0)  # changes nothing but the version
        self._save()

    def is_news(self, published: Published) -> bool:
        """Whether this device, the first, has changed the list since people were told. Asking takes note of it."""
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
