"""Makes a device one of its person's devices, before its first connection.

If the person has no device yet, this one is the first: its key is the account key. Otherwise the first device must add
this one. It needs this device's code, which the person types there. So neither the service nor the holder of a token
can add a device. Until then this device waits. A person who has lost all other devices can start over. Then this device
becomes the first one of a new account key, and everybody is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final

from sut.client.core import Core
from sut.client.device.accounts import Accounts
from sut.client.errors import ApiProblem, ClientError, UserMistake
from sut.client.service.api import Api
from sut.client.service.link import Status
from sut.crypto import device_list
from sut.crypto.errors import CryptoError
from sut.crypto.fingerprint import grouped

WAITING: Final = Status("waiting to be added")
LOOK_S: Final = 2.0
"""Seconds between two checks of a waiting device whether it was added."""
HOW: Final = """{name} has another device already. To add this one, type there:
/link {device} {code}
If you have lost all others: /anew here makes this one the first, and everybody is told that your keys have changed"""
ADDED: Final = """this device is one of {name}'s now; what is written from now on is here too
compare: on {name}'s other devices /devices says the same account number, {number}"""


class Standing(Enum):
    """The standing of a device on its person's device list."""

    FIRST = "the person has no devices"
    LISTED = "it is one of them"
    UNLISTED = "it is none of them"


def standing(listed: bytes, *, user: int, device: int, identity_key: bytes) -> Standing:
    """Judge by `listed`, the list that the service holds; b"" if it holds none. Raises ClientError."""
    if not listed:
        return Standing.FIRST
    try:
        found = device_list.parse(listed)
    except CryptoError as error:
        raise ClientError(f"the service offers a device list that is not genuine: {error}") from None
    if found.user != user:
        raise ClientError("the service offers somebody else's device list")
    return Standing.LISTED if found.keys.get(device) == identity_key else Standing.UNLISTED


class Joining:
    """The joining of one device. `status` is called with each status of the wait."""

    def __init__(
        self,
        core: Core,
        api: Api,
        accounts: Accounts,
        *,
        step: Callable[[Callable[[float], object]], Awaitable[None]],
        status: Callable[[Status], None],
    ) -> None:
        self._core = core
        self._api = api
        self._accounts = accounts
        self._step = step
        self._status = status
        self._anew = asyncio.Event()
        self.waiting = False
        """True while this device waits for the first device to add it."""

    @property
    def how(self) -> str:
        """The instructions with which the person can end the wait."""
        core = self._core
        return HOW.format(name=core.name, device=core.device_name, code=grouped(self._accounts.code))

    def begin_anew(self) -> None:
        """Start over on this device: the person has lost all others. Raises UserMistake."""
        if not self.waiting:
            raise UserMistake("this is one of your devices already")
        self._anew.set()

    async def run(self) -> None:
        """Wait until this device is one of its person's devices. Raises ClientError when it cannot become one."""
        while not self._accounts.joined:
            try:
                await self._look()
            except ApiProblem as problem:
                if problem.definite and problem.status != 409:
                    raise ClientError(str(problem)) from None
                self._status(Status("waiting", reason=str(problem), until=self._core.clock() + LOOK_S))
            if not self._accounts.joined:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._anew.wait()
        self.waiting = False

    async def _look(self) -> None:
        accounts = self._accounts
        listed = (await self._api.keys(self._core.me, one_time=False)).device_list
        found = standing(listed, user=self._core.me, device=self._core.device, identity_key=accounts.identity_key)
        if found is Standing.UNLISTED and self._anew.is_set():
            await self._step(lambda _now: accounts.outrank(listed))
            found = Standing.FIRST
        if not self.waiting or found is not Standing.UNLISTED:
            await self._api.register()
        match found:
            case Standing.FIRST:
                published = await accounts.publish()
                await self._step(lambda _now: accounts.begun(published))
                for device in device_list.parse(listed).keys if listed else ():
                    with contextlib.suppress(ApiProblem):  # nobody writes to them any more, even if this fails
                        await self._api.revoke(device)
            case Standing.LISTED:
                await self._step(lambda _now: self._added(listed))
            case Standing.UNLISTED if not self.waiting:
                published = await accounts.publish(listed=False)
                await self._step(lambda _now: self._wait(lambda: accounts.offered(published)))
            case Standing.UNLISTED:
                self._status(WAITING)

    def _added(self, listed: bytes) -> None:
        was = self.waiting
        self._accounts.added(listed)
        if was:
            number = grouped(self._accounts.number)
            self._core.say(ADDED.format(name=self._core.name, number=number))

    def _wait(self, offered: Callable[[], None]) -> None:
        offered()
        self.waiting = True
        self._status(WAITING)
        self._core.say(self.how)
