"""What Locust's process, the parent and its fleet processes tell each other: JSON, one object a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from load.drive.part import Part, Report

T = TypeVar("T")


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """To the parent, first: the devices of this machine's share, and into how many processes they are split."""

    part: Part
    fleets: int


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """To the parent, and from it to its processes. Exactly one field is set."""

    launch: int | None = None
    """Fork the fleet process of this number."""
    end: int | None = None
    """End the fleet process of this number: its devices go offline as planned."""
    begin: int | None = None
    """The plan's time 0, on the history's clock in ns."""
    quiesce: bool = False
    stop: bool = False


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """From a fleet process to the parent, which passes it on with the number."""

    fleet: int = -1
    """-1: the parent speaks."""
    ramped: bool = False
    """Every device has begun to connect, or stays away as planned."""
    report: Report | None = None
    failed: str = ""
    """The swarm cannot continue, in one line."""
    ended: str = ""
    """How the process ended; "well" after an order to."""


def line(word: Start | Order | Said) -> bytes:
    """Return the line that says it."""
    return msgspec.json.encode(word) + b"\n"


class Lines(Generic[T]):
    """Cuts what arrives into objects of one type."""

    def __init__(self, kind: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(kind)
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[T]:
        """Yield the objects whose lines are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for one in lines:
            yield self._decoder.decode(one)
