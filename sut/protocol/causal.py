"""Causal order across conversations: what a message names, and what a client's owner has to know for it.

The service keeps order within a conversation only. A message therefore names, inside what its sender encrypts, what the
sender's device had shown of other conversations; who shows it waits for those. The service sees nothing of it.
The rules are in client_dependencies.py (what to name) and client_gate.py (what to wait for).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from sut.protocol.frames import Message

MAX_DEPENDENCIES: Final = 64
"""That one message names. Of more, the ones that changed last; what is left out may be shown late by somebody."""
CHANGED: Final = 1
"""Flag of a dependency: the conversation was new to the sender less than CHANGED_S ago, or somebody in it was who may
read the message that names it. Who thinks not to be in it had better ask."""
CHANGED_S: Final = 60.0
"""Two heartbeat intervals: by then every member has heard of it, for a lost notification heals within one."""
_ENTRY: Final = struct.Struct("!QHIH")
ENTRY_SIZE: Final = _ENTRY.size
assert ENTRY_SIZE == 16


class Dependency(NamedTuple):
    """The sender had shown message `seq` of conversation `conv`. In bytes as an entry: conv u64, seq u48, flags u16."""

    conv: int
    seq: int
    flags: int


class Causality(Protocol):
    """What only the owner of a client knows. Called from within the client's own calls; must not call it back."""

    def named_by(self, message: Message) -> Sequence[Dependency]:
        """What this message names; nothing if it cannot be read. Once a message, in rising seq in a conversation."""

    def shared(self, conv: int, other: int) -> bool:
        """Whether somebody else may be in both. True when in doubt, and for a user with several devices."""

    def grows(self, conv: int) -> bool:
        """Whether somebody may be added there. True when in doubt."""

    def may_be_in(self, user: int, conv: int) -> bool:
        """Whether that user may be there. True when in doubt."""

    def member_of(self, conv: int) -> bool:
        """Whether it is known, other than by frames, that this user is or was a member. False when in doubt."""


def pack(dependencies: Sequence[Dependency]) -> bytes:
    """As bytes, ENTRY_SIZE each."""
    return b"".join(_ENTRY.pack(conv, seq >> 32 & 0xFFFF, seq & 0xFFFFFFFF, flags) for conv, seq, flags in dependencies)


def unpack(data: bytes | memoryview) -> tuple[Dependency, ...]:
    """The reverse. Raises ValueError when that is no whole number of entries."""
    if len(data) % ENTRY_SIZE:
        raise ValueError(f"{len(data)} bytes are no whole number of dependencies")
    return tuple(Dependency(conv, high << 32 | low, flags) for conv, high, low, flags in _ENTRY.iter_unpack(data))
