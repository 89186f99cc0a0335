"""Which device lists are stored: those that a client would take, a bounded step above the one that is there.

A client checks signatures by itself. The service checks them too, since versions only rise: whoever may publish could
otherwise store bytes without meaning under the highest version, and no list would ever be stored after it. Pure.
"""

from __future__ import annotations

from typing import Final

from sut.crypto import device_list
from sut.crypto.device_list import DeviceList
from sut.crypto.errors import CryptoError

MAX_STEP: Final = 256
"""Versions that a list may be above the stored one. A client that cannot reach the service for long counts on."""


def why_not(data: bytes, version: int, stored: bytes, *, user: int, device: int, identity_key: bytes) -> str | None:
    """Return why a list of `user` is not stored, in one line; None: it is to be stored.

    `version`: what the request says that it is. `stored`: the list that is there, b"" for none. `device` publishes it,
    with `identity_key`. It may begin a new account with its own key, as a person does who has lost the other devices.
    """
    try:
        found = device_list.parse(data)
    except CryptoError as error:
        return str(error)
    if found.user != user:
        return f"device list: it is user {found.user}'s"
    if found.version != version:
        return f"device list: it has version {found.version}, not {version}"
    before = _parsed(stored)
    if version > (before.version if before else 0) + MAX_STEP:
        return f"device list: a version is at most {MAX_STEP} above the one before"
    if before is not None and found.account_key != before.account_key and found.devices[0] != (device, identity_key):
        return "device list: signed by another account, which is not the key of the device that publishes it"
    return None


def _parsed(stored: bytes) -> DeviceList | None:
    try:
        return device_list.parse(stored) if stored else None
    except CryptoError:
        return None
