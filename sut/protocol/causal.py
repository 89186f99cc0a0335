"""Causal order across conversations: the dependencies that a message names, and the interface to the client's owner.

The service keeps order only within a conversation. So a message names, in its encrypted part, what its sender's device
had shown of other conversations. A recipient waits for those messages before it shows this one. The service sees none
of it. device/dependencies.py decides what to name, device/gate.py what to wait for.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from sut.protocol.frames import Message

MAX_DEPENDENCIES: Final = 64
"""The largest number of dependencies in one message: those that changed last. Others may be shown out of order."""
CHANGED: Final = 1
"""A flag of a dependency: its conversation, or a reader of the message in it, was new to the sender within CHANGED_S.

A recipient that is not known to be a member should therefore ask the service again.
"""
CHANGED_S: Final = 60.0
"""Two heartbeat intervals. By then every member knows of the change: a lost notification is repaired within one."""
_ENTRY: Final = struct.Struct("!QHIH")
ENTRY_SIZE: Final = _ENTRY.size
assert ENTRY_SIZE == 16


class Dependency(NamedTuple):
    """The sender had shown message `seq` of conversation `conv`. In bytes as an entry: conv u64, seq u48, flags u16."""

    conv: int
    seq: int
    flags: int


class Causality(Protocol):
    """The knowledge of a client's owner. The client calls it from within its own calls; it must not call back."""

    def named_by(self, message: Message) -> Sequence[Dependency]:
        """Return what this message names; empty if it cannot be decrypted.

        Called once per message, in rising seq within a conversation.
        """

    def shared(self, conv: int, other: int) -> bool:
        """Return True if another user may be in both conversations. True when in doubt, or if this user has several
        devices.
        """

    def grows(self, conv: int) -> bool:
        """Return True if members may be added to the conversation. True when in doubt."""

    def may_be_in(self, user: int, conv: int) -> bool:
        """Return True if that user may be a member. True when in doubt."""

    def member_of(self, conv: int) -> bool:
        """Return True if this user is known, other than by frames, as a present or former member.

        False when in doubt.
        """


def pack(dependencies: Sequence[Dependency]) -> bytes:
    """Return the dependencies as bytes, ENTRY_SIZE each."""
    return b"".join(_ENTRY.pack(conv, seq >> 32 & 0xFFFF, seq & 0xFFFFFFFF, flags) for conv, seq, flags in dependencies)


def unpack(data: bytes | memoryview) -> tuple[Dependency, ...]:
    """Parse the result of `pack`. Raises ValueError when the length is no multiple of ENTRY_SIZE."""
    if len(data) % ENTRY_SIZE:
        raise ValueError(f"{len(data)} bytes of dependencies; the length must be a multiple of {ENTRY_SIZE}")
    return tuple(Dependency(conv, high << 32 | low, flags) for conv, high, low, flags in _ENTRY.iter_unpack(data))
