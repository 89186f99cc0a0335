"""Generates an AsyncAPI 3 document of the WebSocket protocol from the frames; asyncapi.json beside this file is a copy.

`python -m sut.protocol.asyncapi` prints it. A frame's layout is the first sentence of its docstring (`NAME 0xNN: field
type, ...`). Its example is encoded here, and its direction follows from its type byte. To write a client, read
docs/protocol.md: the document here has no rules.
"""

from __future__ import annotations

import re
import sys
import typing
from typing import Any, Final, NamedTuple

import msgspec

from sut.protocol import frames
from sut.protocol.frames import MAX_BODY, MAX_FRAME, Close, Nack, Type, encode
from sut.protocol.handshake import PATH
from sut.protocol.signals import SignalType

FROM_GATEWAY: Final = 0x80
REPLIES: Final = {
    "SEND": ("ACK", "NACK"),
    "FETCH": ("PAGE", "ERROR"),
    "SYNC": ("SYNCED", "ERROR"),
    "HISTORY": ("PAGE", "ERROR"),
    "HEARTBEAT": ("BEAT",),
}
"""A device's frame -> the frames that may answer it."""
TYPES: Final = {int(kind): kind.name for kind in (*Type, *SignalType)}
"""Type byte -> name, for every frame."""
_LAYOUT: Final = re.compile(r"([A-Z]+) 0x([0-9A-F]{2}): (.+?)\.(?:\s|$)\s*(.*)", re.DOTALL)
_CHANNEL: Final = {"$ref": "#/channels/connection"}
_DESCRIPTION: Final = (
    "What a device and a gateway of Stormpetrel say to each other. One binary WebSocket message is one frame: a type"
    " byte, then a fixed layout; numbers are unsigned and big-endian. Rules, codes and what a client must do:"
    " docs/protocol.md. The gateway is the application described here: it receives what devices send."
)


class Described(NamedTuple):
    """The description of one frame in the document."""

    name: str
    code: int
    layout: str
    summary: str
    example: bytes


def described() -> tuple[Described, ...]:
    """Return every frame, ordered by type byte. Raises ValueError when a docstring does not begin with the layout."""
    kinds = (*typing.get_args(frames.ClientFrame), *typing.get_args(frames.ServerFrame))
    return tuple(sorted((_describe(kind) for kind in kinds), key=lambda one: one.code))


def _describe(kind: type) -> Described:
    found = _LAYOUT.match(kind.__doc__ or "")
    if found is None or TYPES.get(int(found[2], 16)) != found[1]:
        raise ValueError(f"{kind.__name__}: the docstring must begin with NAME 0xNN: layout")
    layout, summary = (" ".join(text.split()) for text in (found[3], found[4]))
    return Described(found[1], int(found[2], 16), layout, summary, encode(_example(kind)))


def _example(kind: Any) -> Any:
    """Return an instance with small numbers, a short body and one entry in each list."""
    values: dict[str, Any] = {}
    for number, (name, hint) in enumerate(typing.get_type_hints(kind).items(), 1):
        if hint is bytes:
            values[name] = b"hi"
        elif typing.get_origin(hint) is tuple:
            inner = typing.get_args(hint)[0]
            values[name] = (tuple(range(1, 1 + len(typing.get_args(inner)))) if typing.get_args(inner) else
                            number if inner is int else _example(inner),)  # fmt: skip
        else:
            values[name] = number
    return kind(**values)


def document() -> dict[str, Any]:
    """Return the whole document as JSON values."""
    there = described()
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Stormpetrel gateway", "version": "1", "description": _DESCRIPTION},
        "defaultContentType": "application/octet-stream",
        "servers": {
            "gateway": {
                "host": "{gateway}",
                "protocol": "wss",
                "description": "One of those that GET /v1/discovery of the HTTP API lists; ws where it says so.",
                "variables": {"gateway": {"description": "HOST:PORT", "default": "127.0.0.1:443"}},
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {
            "connection": {
                "address": PATH,
                "messages": {one.name: {"$ref": f"#/components/messages/{one.name}"} for one in there},
                "bindings": {"ws": {"method": "GET", "query": _QUERY, "headers": _HEADERS}},
            }
        },
        "operations": {one.name: _operation(one) for one in there},
        "components": {
            "messages": {one.name: _message(one) for one in there},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A device token"}
            },
        },
        "x-limits": {"body": MAX_BODY, "frame": MAX_FRAME},
        "x-close-codes": {str(int(code)): code.name for code in Close},
        "x-nack-codes": {str(int(code)): code.name for code in Nack},
    }


_QUERY: Final = {
    "type": "object",
    "properties": {"token": {"type": "string", "description": "The device token, where no header can be set"}},
}
_HEADERS: Final = {
    "type": "object",
    "properties": {"Authorization": {"type": "string", "description": "Bearer and the device token"}},
}


def _operation(one: Described) -> dict[str, Any]:
    from_device = one.code < FROM_GATEWAY
    operation: dict[str, Any] = {
        "action": "receive" if from_device else "send",
        "channel": _CHANNEL,
        "messages": [_in_channel(one.name)],
    }
    if one.name in REPLIES:
        operation["reply"] = {"channel": _CHANNEL, "messages": [_in_channel(name) for name in REPLIES[one.name]]}
    return operation


def _in_channel(name: str) -> dict[str, str]:
    return {"$ref": f"#/channels/connection/messages/{name}"}


def _message(one: Described) -> dict[str, Any]:
    sender = "device" if one.code < FROM_GATEWAY else "gateway"
    return {
        "name": one.name,
        "title": f"{one.name} 0x{one.code:02X}, from the {sender}",
        "summary": one.summary or f"{one.name} has no payload",
        "payload": {"type": "string", "format": "binary", "description": f"type u8 = 0x{one.code:02X}, {one.layout}"},
        "x-type": one.code,
        "x-layout": one.layout,
        "examples": [{"name": "hex", "summary": "The frame's bytes in hex", "payload": one.example.hex()}],
    }


def encoded() -> bytes:
    """Return the document as indented JSON text."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(encoded())
