"""The ids of the traces of messages, as every process of the system has them."""

from __future__ import annotations

from sut.protocol.tracing import trace_id


def trace_of(msg: int) -> str:
    """Return the id of the trace of a message of our own, 32 hexadecimal digits. It is the one in exemplars."""
    return trace_id(msg >> 32, msg & 0xFFFF_FFFF)
