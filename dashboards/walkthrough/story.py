"""What a walkthrough is made of: lanes, steps between them, facts. Plain records; the page plays them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from sut.protocol import frames as f


class NotThere(Exception):
    """The run does not have what the topic needs; the text says what."""


class Lane(msgspec.Struct, frozen=True):
    """One column: a device, a process, a store."""

    name: str
    kind: Literal["device", "service", "store"]


class Frame(msgspec.Struct, frozen=True):
    """A frame on the wire: its name, its fields, and its bytes as far as they were recorded."""

    name: str
    fields: list[tuple[str, str]] = []
    hex: str = ""
    note: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One moment. From a lane to another one, or at one lane if both are the same."""

    t_ns: int
    start: str
    stop: str
    title: str
    text: str
    source: str
    """The record that it comes from."""
    frame: Frame | None = None
    bad: bool = False
    """True for what broke."""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """One walkthrough as its page plays it: the lanes, and the steps in order of time."""

    topic: str
    title: str
    lead: str
    lanes: list[Lane]
    steps: list[Step]
    facts: list[tuple[str, str]]
    """What this run shows, as (name, value)."""

    def in_order(self) -> Story:
        """Return the story with its steps by time, and without lanes that have none."""
        steps = sorted(self.steps, key=lambda step: step.t_ns)
        used = {step.start for step in steps} | {step.stop for step in steps}
        return msgspec.structs.replace(self, steps=steps, lanes=[lane for lane in self.lanes if lane.name in used])


def lanes(*, devices: Iterable[str] = (), services: Iterable[str] = (), stores: Iterable[str] = ()) -> list[Lane]:
    """Return lanes, each name once: devices, then services, then stores."""
    found: dict[str, Lane] = {}
    kinds: tuple[tuple[Iterable[str], Literal["device", "service", "store"]], ...] = (
        (devices, "device"), (services, "service"), (stores, "store"),
    )  # fmt: skip
    for names, kind in kinds:
        for name in names:
            found.setdefault(name, Lane(name, kind))
    return list(found.values())


def spaced(data: bytes) -> str:
    """Return bytes as hex in groups of four, for people."""
    return data.hex(" ", 4)


def unsigned(number: int) -> int:
    """Return a conversation as on the wire: histories keep it as a signed number."""
    return number & ((1 << 64) - 1)


def send_frame(conv: int, client_seq: int) -> Frame:
    """Return the SEND of a message: its head; bodies are not recorded."""
    head = f.encode(f.Send(unsigned(conv), client_seq, b""))
    fields = [("conversation", str(unsigned(conv))), ("client_seq", str(client_seq))]
    return Frame("SEND", fields, spaced(head), "then the body, which is not recorded")


def ack_frame(conv: int, client_seq: int, seq: int) -> Frame:
    """Return the ACK of a message."""
    data = f.encode(f.Ack(unsigned(conv), client_seq, seq))
    fields = [("conversation", str(unsigned(conv))), ("client_seq", str(client_seq)), ("number", str(seq))]
    return Frame("ACK", fields, spaced(data))


def notify_frame(conv: int, seq: int) -> Frame:
    """Return the NOTIFY of a message: one entry of 16 bytes."""
    data = f.encode(f.Notify((f.Entry(unsigned(conv), seq, 0),)))
    fields = [("conversation", str(unsigned(conv))), ("number", str(seq))]
    return Frame("NOTIFY", fields, spaced(data), f"{len(data) - 1} bytes a member, behind the type")


def message_frame(conv: int, seq: int, device: int, client_seq: int) -> Frame:
    """Return what is recorded of a MESSAGE: without the user and the body, it has no bytes here."""
    fields = [
        ("conversation", str(unsigned(conv))), ("number", str(seq)), ("device", str(device)),
        ("client_seq", str(client_seq)),
    ]  # fmt: skip
    return Frame("MESSAGE", fields, note="a notification that brings the body; the body is not recorded")


def named(name: str, **fields: object) -> Frame:
    """Return a frame of which only these fields are known."""
    return Frame(name, [(key.replace("_", " "), str(value)) for key, value in fields.items()])
