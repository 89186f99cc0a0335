"""Push tokens of phones that do not exist: what the swarm registers, and what the providers' stand-ins know.

They look like the providers' own (64 hexadecimal digits at APNs, a long opaque text at FCM) and say which device they
are of, as a provider knows which phone a token belongs to. Nothing in the chat system looks into them.
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
    """The token of this device; each generation (an installation of the app) has another one."""
    body = device.to_bytes(8, "big") + generation.to_bytes(2, "big")
    check = hashlib.blake2b(_MARK + provider.encode() + body, digest_size=_SIZE - 2).digest()
    if provider == "apns":
        return (body + check).hex()
    return _PREFIX + base64.urlsafe_b64encode(body + check + check + check).decode()


def device_of(provider: Literal["apns", "fcm"], token: str) -> int | None:
    """Whose token it is; None when this provider never gave it out."""
    try:
        raw = bytes.fromhex(token) if provider == "apns" else base64.urlsafe_b64decode(token.removeprefix(_PREFIX))
    except (ValueError, binascii.Error):
        return None
    if len(raw) < 10:
        return None
    device, generation = int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:10], "big")
    return device if token == push_token(provider, device, generation) else None
