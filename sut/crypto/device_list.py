"""The list of a user's devices, signed by the user's account key, which is the identity key of the first device.

Other users remember the account key, and a safety number stands for it. A device is valid when the newest list names it
with its identity key. So only the first device can link another one. The service can neither add a device nor hide a
removal from a user who saw a newer list: versions only rise.

    version u8 (1), user u64, list version u32, count u8, count x (device u64, identity key 32), signature 64

The first entry's key is the account key. The signature (XEdDSA) covers the context "petrel device list" and all bytes
before it. For a user without a list, only the first identity key that was seen is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sut.crypto import primitives
from sut.crypto.errors import Malformed
from sut.crypto.wire import SIGNATURE_BYTES, Reader, number

MAX_DEVICES: Final = 16
"""The most devices of one user."""
MAX_BYTES: Final = 14 + MAX_DEVICES * 40 + SIGNATURE_BYTES
_VERSION: Final = 1
_CONTEXT: Final = b"petrel device list"


@dataclass(frozen=True, kw_only=True)
class DeviceList:
    """One version of a user's list, with its signature checked."""

    user: int
    version: int
    devices: tuple[tuple[int, bytes], ...]
    """(device, identity key); the key of the first one is the account key."""

    @property
    def account_key(self) -> bytes:
        """The account key, which signed the list."""
        return self.devices[0][1]

    @property
    def keys(self) -> Mapping[int, bytes]:
        """Identity keys by device."""
        return dict(self.devices)


def signed(devices: DeviceList, account_private: bytes) -> bytes:
    """Return the list as bytes with its signature. Raises ValueError for a wrong count or key."""
    if not 1 <= len(devices.devices) <= MAX_DEVICES:
        raise ValueError(f"a user has 1 to {MAX_DEVICES} devices, not {len(devices.devices)}")
    if primitives.public_of(account_private) != devices.account_key:
        raise ValueError("the first device of a list signs it")
    data = b"".join(
        (
            number(_VERSION, 1),
            number(devices.user, 8),
            number(devices.version, 4),
            number(len(devices.devices), 1),
            *(number(device, 8) + key for device, key in devices.devices),
        )
    )
    return data + primitives.sign(account_private, _CONTEXT + data)


def parse(data: bytes) -> DeviceList:
    """Parse a list. Raises Malformed, and Refused when the first entry's key did not sign it."""
    reader = Reader(data, "device list")
    if (version := reader.number(1)) != _VERSION:
        raise Malformed(f"device list: version {version} is not known")
    user, list_version, count = reader.number(8), reader.number(4), reader.number(1)
    if not 1 <= count <= MAX_DEVICES:
        raise Malformed(f"device list: {count} devices")
    devices = tuple((reader.number(8), reader.key()) for _ in range(count))
    if len({device for device, _ in devices}) < count:
        raise Malformed("device list: a device is in it twice")
    body = data[: reader.at]
    signature = reader.take(SIGNATURE_BYTES)
    reader.end()
    primitives.check_signature(devices[0][1], _CONTEXT + body, signature, what="device list")
    return DeviceList(user=user, version=list_version, devices=devices)
