"""A person's actions on their own devices: add, remove, list. Only the first device may change the list.

An action that cannot be done raises UserMistake with a text for the person, and changes nothing.
"""

from __future__ import annotations

import asyncio
from typing import Final

from sut.client.chat import Chat
from sut.client.core import Publish
from sut.client.errors import UserMistake
from sut.client.names import check_name
from sut.client.service.asking import asked
from sut.crypto.device_list import MAX_DEVICES
from sut.crypto.errors import CryptoError
from sut.crypto.fingerprint import device_code, grouped
from sut.crypto.prekeys import Bundle

ADDED: Final = """{device} is one of your devices now
compare: it must say the same account number there, {number}"""
ANEW: Final = "this device starts over as your first one; the others are disconnected"


class OwnDevices:
    """The device actions of one person."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._core = chat.core
        self._account = chat.encryption.account

    async def link(self, name: str, code: str) -> str:
        """Add the device that shows this code. Returns the text to show."""
        self._must_be_first()
        called, digits = check_name(name), "".join(letter for letter in code if letter.isdigit())
        if self._named(called) or called == self._core.device_name:
            raise UserMistake(f"you have a device {called} already; give this one another name here")
        if len(self._account.devices(self._core.me)) >= MAX_DEVICES:
            raise UserMistake(f"you have {MAX_DEVICES} devices, and no more are allowed; /unlink one first")
        learned = await asked(lambda: self._chat.accounts.fetch(self._core.me))
        found = await asyncio.to_thread(self._with_code, learned.bundles, digits)
        if found is None:
            raise UserMistake("none of your devices waits with this code; it is shown where you started petrel chat")

        def linked(_now: float) -> None:
            listed = self._account.link(found.device, found.identity_key)
            self._account.learn(self._core.me, listed, [found])
            self._core.state.put("cipher", self._account.state())
            self._name(found.device, called)
            self._core.want(Publish())

        await self._chat.step(linked)
        number = await asyncio.to_thread(lambda: self._account.account_number)
        return ADDED.format(device=called, number=grouped(number))

    async def unlink(self, name: str) -> str:
        """Remove a device: nobody writes to it any more, and the service closes its connection for ever. Returns the
        text to show.
        """
        self._must_be_first()
        device = self._named(check_name(name))
        if not device:
            raise UserMistake(f"you have no device {name[:40]!r}; /devices lists them")

        def unlinked(_now: float) -> None:
            self._account.unlink(device)
            self._core.state.put("cipher", self._account.state())
            self._core.want(Publish())

        await self._chat.step(unlinked)
        await asked(lambda: self._chat.api.revoke(device))
        await self._chat.step(lambda _now: self._name(device, ""))
        return f"{check_name(name)} is not one of your devices any more"

    async def anew(self) -> str:
        """Make this device the first of a new account key, for a person who has lost all others. Returns the text to
        show.
        """
        self._chat.joining.begin_anew()
        return ANEW

    async def listing(self) -> str:
        """Return the list of devices with the account number, which is the same on each; while joining: how to join."""
        if self._chat.joining.waiting:
            return self._chat.joining.how
        listed = self._account.devices(self._core.me)
        lines = [self._called(device, first=device == listed[0]) for device in listed]
        number = await asyncio.to_thread(lambda: self._account.account_number)
        return "\n".join([*lines, f"account number, the same on each: {grouped(number)}"])

    def _called(self, device: int, *, first: bool) -> str:
        if device == self._core.device:
            return f"{self._core.device_name}  this one{', the first' * first}"
        name = self._core.device_names.get(device) or f"#{device:016x}"[:7]
        return f"{name}{'  the first' * first}"

    def _must_be_first(self) -> None:
        if self._chat.joining.waiting:
            raise UserMistake("this device has to be added itself first")
        if not self._account.first:
            raise UserMistake("only the first of your devices can do this; /devices says which one it is")

    def _named(self, name: str) -> int:
        return next((device for device, called in self._core.device_names.items() if called == name), 0)

    def _name(self, device: int, name: str) -> None:
        if name:
            self._core.device_names[device] = name
        else:
            self._core.device_names.pop(device, None)
        self._core.state.put_device(device, name)

    def _with_code(self, bundles: tuple[Bundle, ...], digits: str) -> Bundle | None:
        """Return the bundle whose code is `digits`; None if there is none.

        The service may offer other bundles as well.
        """
        for bundle in bundles:
            try:
                bundle.check()
            except CryptoError:
                continue
            if device_code(self._core.me, bundle.device, bundle.identity_key) == digits:
                return bundle
        return None
