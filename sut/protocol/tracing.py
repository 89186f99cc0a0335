"""Which messages are traced: a pure rule, so that every process picks the same ones without a word on the wire.

One message in `every` of each device, devices out of step with each other. A process that sees a message by its
(device, client_seq) asks `is_traced`. A gateway sees recipients' frames as bytes: `announced` reads from them what they
are about. A MESSAGE names its sender, so the rule decides; a NOTIFY has conversation and number only, so all of them
count, and whoever joins the traces throws away those of other messages.
"""

from __future__ import annotations

import struct
from typing import Final

from sut.protocol.frames import Type

_PLACE: Final = struct.Struct("!BQQ")  # the second word is seq << 16 | flags
_MESSAGE: Final = struct.Struct("!BQQQQQ")
_NOTIFY_TYPE: Final = int(Type.NOTIFY)
_MESSAGE_TYPE: Final = int(Type.MESSAGE)


def is_traced(device: int, client_seq: int, every: int) -> bool:
    """Whether this message of this device is one in `every`; 0: none is."""
    return every > 0 and (device + client_seq) % every == 0


def announced(frame: bytes, every: int) -> tuple[int, int, bool] | None:
    """(conversation, number, whether the body is with it) of a frame to a recipient, when that is to be traced.

    None for an untraced MESSAGE, for a NOTIFY of several conversations (nobody sends one), and for everything else.
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
