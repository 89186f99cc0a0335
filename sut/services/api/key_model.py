"""Bodies of the HTTP API about published keys, in both directions. Bytes are base64, as the patterns show."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from sut.services.api import ids

MAX_BATCH: Final = 100
"""One-time prekeys of one request."""
_D: Final = "[A-Za-z0-9+/]"
_END: Final = f"({_D}[AQgw]==|{_D}{{2}}[AEIMQUYcgkosw048]=)"

Key = Annotated[
    bytes,
    msgspec.Meta(
        min_length=32, max_length=32, extra_json_schema={"pattern": f"^{_D}{{42}}[AEIMQUYcgkosw048]=$", "maxLength": 44}
    ),
]
Signature = Annotated[
    bytes,
    msgspec.Meta(min_length=64, max_length=64, extra_json_schema={"pattern": f"^{_D}{{85}}[AQgw]==$", "maxLength": 88}),
]
ListBytes = Annotated[
    bytes,
    msgspec.Meta(
        min_length=1,
        max_length=1026,
        extra_json_schema={"pattern": f"^({_D}{{4}})*({_D}{{4}}|{_END})$", "minLength": 4, "maxLength": 1368},
    ),
]
Number = Annotated[int, msgspec.Meta(ge=1, le=(1 << 32) - 1)]


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signed prekey with its signature."""

    number: Number
    key: Key
    signature: Signature


class OneTime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A one-time prekey and its number."""

    number: Number
    key: Key


class DeviceListOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user's signed device list; `version` must equal the one inside."""

    version: Number
    data: ListBytes


class KeysRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /v1/keys: the keys that a device publishes. Repeating a request changes nothing."""

    identity_key: Key
    signed_prekey: Signed
    one_time: Annotated[list[OneTime], msgspec.Meta(max_length=MAX_BATCH)] = []
    device_list: DeviceListOf | None = None


class KeysLeft(msgspec.Struct, frozen=True):
    """The number of one-time prekeys that the asking device has left."""

    one_time: int


class KeysPublished(msgspec.Struct, frozen=True):
    """The number of one-time prekeys that the device has left, and the highest number that it ever published.

    A one-time prekey with that number or a lower one is never taken again. A device that did not know the number goes
    on from an older copy of its state: it must number its next keys above it.
    """

    one_time: int
    highest: int


class KeysQuery(msgspec.Struct, frozen=True):
    """GET /v1/users/{user}/keys: "no" takes no one-time prekey."""

    one_time: Literal["yes", "no"] = "yes"


class BundleOf(msgspec.Struct, frozen=True):
    """The keys of one device. `one_time` null: used up, not asked for, or asked for too often."""

    device: ids.Number
    device_id: ids.Text
    identity_key: bytes
    signed_prekey: Signed
    one_time: OneTime | None


class KeysOf(msgspec.Struct, frozen=True):
    """GET /v1/users/{user}/keys. `device_list` empty: none was published."""

    devices: list[BundleOf]
    device_list: bytes
