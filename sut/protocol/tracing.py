"""Selects the messages to trace, by a pure rule: every process picks the same ones without communication.

One message in `every` of each device is traced, and devices are out of step with each other. A process that sees a
message by its (device, client_seq) asks `is_traced`.

A gateway sees recipients' frames as bytes; `announced` reads from them what they are about. A MESSAGE names its sender,
so the rule decides. A NOTIFY has only conversation and sequence number, so all of them count. The process that joins
the traces drops those of other messages.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final

from sut.protocol.frames import Type

_PLACE: Final = struct.Struct("!BQQ")  # the second word is seq << 16 | flags
_MESSAGE: Final = struct.Struct("!BQQQQQ")
_NOTIFY_TYPE: Final = int(Type.NOTIFY)
_MESSAGE_TYPE: Final = int(Type.MESSAGE)


def is_traced(device: int, client_seq: int, every: int) -> bool:
    """Return True if this message is one in `every` of its device; `every` 0: no message is."""
    return every > 0 and (device + client_seq) % every == 0


def trace_id(device: int, client_seq: int) -> str:
    """Return the id of the trace of a message: 32 hexadecimal digits, the same in every process.

    A hash, because stores of traces spread them by their ids.
    """
    return blake2b(struct.pack("!QQ", device, client_seq), digest_size=16).hexdigest()


def announced(frame: bytes, every: int) -> tuple[int, int, bool] | None:
    """Return (conversation, sequence number, True if it has the body) for a recipient's frame that is to be traced.

    Returns None for an untraced MESSAGE, for a NOTIFY of several conversations (nobody sends one), and for other
    frames.
    """
    kind = frame[0] if frame else 0
    if kind == _NOTIFY_TYPE and len(frame) == _PLACE.size:
        _, conv, word = _PLACE.unpack(frame)
    elif kind == _MESSAGE_TYPE:
        _, conv, word, _, device, client_seq = _MESSAGE.unpack_from(frame)
        if (device + client_seq) % every:
            return None
    else:
        return None
    return conv, word >> 16, kind == _MESSAGE_TYPE
