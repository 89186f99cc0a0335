"""Names of people, and the user ids derived from them. There is no directory: an id is a hash of the name.

So every client computes the same id for a name, and can check whether a name belongs to an id. The reverse is not
possible: a user whose name is not known yet is shown by a part of the id.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from sut.client.errors import UserMistake

MAX_NAME: Final = 32
DEVICE: Final = "terminal"
"""The default name of a device."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")


def check_name(text: str) -> str:
    """Return the name in its common form: lower case, without a leading @. Raises UserMistake."""
    name = text.strip().removeprefix("@").lower()
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        shown = text.strip()[:MAX_NAME]
        raise UserMistake(
            f"{shown!r} is no name: 1 to {MAX_NAME} of a-z, 0-9, '.', '_' and '-', a letter or digit first"
        )
    return name


def user_of(name: str) -> int:
    """Return the user id of a checked name: 63 bits, never 0."""
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=b"petrel name").digest()
    return int.from_bytes(digest, "big") >> 1 or 1


def is_named(user: int, name: str) -> bool:
    """Return True if `name` is in its common form and its hash is this user's id."""
    try:
        return check_name(name) == name and user_of(name) == user
    except UserMistake:
        return False


def stand_in(user: int) -> str:
    """Return a short text for a user whose name is not known."""
    return f"#{user:016x}"[:7]
