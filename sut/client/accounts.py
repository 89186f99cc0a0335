"""Keys over the HTTP API: what this device publishes, what it learns of others.

Publishing tells the service the signed prekey, one-time prekeys and the user's device list; it is repeated when the
connection is back and an hour has passed. Fetching takes a one-time prekey of each device of the user, so it is done
only when something waits for it. A person has one device here: a new one (another state file) takes the place of the
one before, and everybody they write to is told that their keys have changed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sut.client.api import Api
from sut.client.core import Core
from sut.client.errors import ApiProblem
from sut.client.sealed import Encryption
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


class Accounts:
    """Of one device. Calls that do I/O raise ApiProblem; the others belong in a step."""

    def __init__(self, core: Core, api: Api, encryption: Encryption) -> None:
        self._core = core
        self._api = api
        self._account = encryption.account
        self._published_at = float("-inf")
        self._absent: set[int] = set()

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
        if user not in self._absent:
            self._absent.add(user)
            name = self._core.called(user)
            self._core.say(f"{name} has not been here yet; what you write is sent, encrypted, when {name} has")

    def learn(self, user: int, learned: Learned) -> None:
        """Take what was fetched; what is not genuine is not taken."""
        self._absent.discard(user)
        try:
            self._account.learn(user, learned.device_list, learned.bundles)
        except IdentityChanged:
            pass  # said when something is encrypted or read
        except CryptoError as error:
            self._core.say(f"the service offers keys of {self._core.called(user)} that are not genuine: {error}")
        self._core.state.put("cipher", self._account.state())

    async def publish(self) -> Published:
        """Tell the service this device's keys."""
        publication = self._account.publication()
        try:
            left = await self._publish(publication)
        except ApiProblem as problem:
            if problem.status != 409:
                raise
            await self._take_over()
            left = await self._publish(publication)
        return Published(publication, left)

    def published(self, done: Published) -> bool:
        """It was told. Returns whether there is more to tell."""
        self._published_at = self._core.clock()
        self._account.published(done.publication)
        more = self._account.tend(now_s=self._core.wall_ms() // 1000, one_time_left=done.one_time_left)
        self._core.state.put("cipher", self._account.state())
        return more

    async def _publish(self, publication: Publication) -> int:
        data = self._account.device_list
        return await self._api.publish(
            identity_key=publication.identity_key,
            signed=SignedPrekeyOf(publication.signed_number, publication.signed_key, publication.signature),
            one_time=[OneTimePrekeyOf(number, key) for number, key in publication.one_time],
            list_version=device_list.parse(data).version,
            list_data=data,
        )

    async def _take_over(self) -> None:
        """Another device of this user published a list: ours gets a higher version."""
        theirs = device_list.parse((await self._api.keys(self._core.me, one_time=False)).device_list).version
        for _ in range(MAX_STEPS):
            if device_list.parse(self._account.device_list).version > theirs:
                return
            self._account.unlink(0)  # changes nothing but the version


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
