"""Push tokens of phones that do not exist: the swarm registers them, and the providers' stand-ins recognise them.

They look like real ones (64 hexadecimal digits at APNs, a long opaque text at FCM). They contain their device, because
a provider knows which phone a token belongs to. Nothing in the chat system parses them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Literal

_MARK = b"petrel"
_PREFIX = "petrel-app:"
_SIZE = 24


def push_token(provider: Literal["apns", "fcm"], device: int, generation: int = 0) -> str:
    """Return the token of this device. Each generation (an installation of the app) has another one."""
    body = device.to_bytes(8, "big") + generation.to_bytes(2, "big")
    check = hashlib.blake2b(_MARK + provider.encode() + body, digest_size=_SIZE - 2).digest()
    if provider == "apns":
        return (body + check).hex()
    return _PREFIX + base64.urlsafe_b64encode(body + check + check + check).decode()


def device_of(provider: Literal["apns", "fcm"], token: str) -> int | None:
    """Return the device of a token; None if this provider never issued it."""
    try:
        raw = bytes.fromhex(token) if provider == "apns" else base64.urlsafe_b64decode(token.removeprefix(_PREFIX))
    except (ValueError, binascii.Error):
        return None
    if len(raw) < 10:
        return None
    device, generation = int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:10], "big")
    return device if token == push_token(provider, device, generation) else None
