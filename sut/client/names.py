"""People's names and the user ids of the system. There is no directory: an id is a hash of the name.

So every client finds the same id for a name, and a name that somebody claims to have can be checked against their id.
It cannot be turned round: a person whose name has not been heard yet is shown by a piece of the id.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from sut.client.errors import UserMistake

MAX_NAME: Final = 32
DEVICE: Final = "terminal"
"""What a person's device is called unless they say so."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")


def check_name(text: str) -> str:
    """The name as all use it: lower case, without an @ in front. Raises UserMistake."""
    name = text.strip().removeprefix("@").lower()
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        shown = text.strip()[:MAX_NAME]
        raise UserMistake(
            f"{shown!r} is no name: 1 to {MAX_NAME} of a-z, 0-9, '.', '_' and '-', a letter or digit first"
        )
    return name


def user_of(name: str) -> int:
    """The user id of a checked name: 63 bits, never 0."""
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=b"petrel name").digest()
    return int.from_bytes(digest, "big") >> 1 or 1


def is_named(user: int, name: str) -> bool:
    """Whether this user may call themselves so."""
    try:
        return check_name(name) == name and user_of(name) == user
    except UserMistake:
        return False


def stand_in(user: int) -> str:
    """What to call somebody whose name is not known."""
    return f"#{user:016x}"[:7]
