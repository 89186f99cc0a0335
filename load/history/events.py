"""The format of a history: each event once, with its number, its name, its meaning and its fields.

An event has two encodings: a binary record of 64 bytes (load/history/writer.py) and a JSON line (the exchange format).
Both, the frame that the verdict judges, and docs/exchange.schema.json derive from `Event`. A new event needs only a new
member of it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

I64_MIN: Final = -(1 << 63)
I64_MAX: Final = (1 << 63) - 1
Time = Annotated[int, msgspec.Meta(ge=I64_MIN // 4, le=I64_MAX // 4, description="nanoseconds")]
"""In ns; a quarter of the i64 range, so that differences and deadlines never overflow. Year 2043 since 1970 fits."""
Seq = Annotated[int, msgspec.Meta(ge=0, le=I64_MAX // 4)]
AnyId = int | str

RECORD: Final = struct.Struct("<qqqqqqqBBHI")
"""t, due, device, conv, msg, seq, hash (all i64), kind u8, arg u8, reserved u16, crc32 u32 of the 60 bytes before."""
RECORD_SIZE: Final = 64
assert RECORD.size == RECORD_SIZE
DTYPE: Final = [
    ("t", "<i8"), ("due", "<i8"), ("device", "<i8"), ("conv", "<i8"), ("msg", "<i8"), ("seq", "<i8"),
    ("hash", "<i8"), ("kind", "u1"), ("arg", "u1"), ("reserved", "<u2"), ("crc", "<u4"),
]  # fmt: skip
"""The record as a numpy dtype."""
Record = tuple[int, int, int, int, int, int, int, int, int, int, int]
"""t, due, device, conv, msg, seq, hash, kind, arg, reserved, crc."""

UNKNOWN_STATE: Final = 255
"""`arg` of a presence event whose state is neither online nor offline."""
SEALED: Final = UNKNOWN_STATE
"""`arg` of a display of a line that cannot be read yet."""
Word = str | bool
Source = Literal["device", "read-back", "told"]
"""The cause of an event: the device while it runs, the device's read-back at the end, or no device."""


class Field(NamedTuple):
    """One field of an event."""

    name: str
    """The name in the JSON line."""
    type: Any
    """The type of its value in the JSON line."""
    column: str
    """The column of the verdict's frame of events."""
    slot: str
    """The slot of the binary record; empty: the record does not hold it."""
    words: tuple[Word, ...] = ()
    """For a field kept as `arg`: the values of 0, 1 and (if given) any other number in the JSON line."""
    default: Any = msgspec.NODEFAULT
    """The value in a line without the field."""

    def number_of(self, value: object) -> int:
        """Return the `arg` of a value of the JSON line; UNKNOWN_STATE for a value that has no number."""
        if isinstance(value, int):
            return int(value) if value in (0, 1) else UNKNOWN_STATE
        return self.words.index(value) if value in self.words[:2] else UNKNOWN_STATE


def _plain(name: str, type_: Any, *, column: str = "", slot: str = "") -> Field:
    return Field(name, type_, column or name, slot or column or name)


def _arg(name: str, type_: Any, *words: Word, default: Any = msgspec.NODEFAULT) -> Field:
    return Field(name, type_, "arg", "arg", words, default)


_DEVICE = _plain("device", AnyId)
_USER = _plain("user", AnyId, slot="msg")
_CONV = _plain("conv", AnyId)
_MSG = _plain("msg", AnyId)
_SEQ = _plain("seq", Seq)
_HASH = _plain("hash", AnyId)
_AUTHOR = Field("author", AnyId | None, "user", "", (), None)
"""The user whom the message is shown to be from."""
_COPY = (_DEVICE, _CONV, _SEQ, _MSG, _HASH, _AUTHOR)
_UPON = (_DEVICE, _CONV, _plain("of", AnyId, column="msg"), Field("seq", Seq | None, "seq", "seq", (), None))


class Event(IntEnum):
    """Every event that is judged: number, source, meaning, fields in the order of the JSON line (after `e` and `t`)."""

    source: Source
    meaning: str
    fields: tuple[Field, ...]

    def __new__(cls, number: int, source: Source, meaning: str, fields: tuple[Field, ...]) -> Event:
        """Return a member with its attributes; its value is `number`, the kind byte of the binary record."""
        self = int.__new__(cls, number)
        self._value_ = number
        self.source = source
        self.meaning = meaning
        self.fields = fields
        return self

    MEMBER = (
        1, "told", "A membership change and the number it took; 0: there at the creation.",
        (_CONV, _USER, _arg("op", Literal["add", "remove"], "remove", "add"), _SEQ),
    )  # fmt: skip
    DEVICE = 2, "told", "Whose device it is.", (_DEVICE, _USER)
    ONLINE = 3, "device", "The device is connected and was told what it missed.", (_DEVICE,)
    OFFLINE = (
        4, "device", "The device is no longer connected; planned: its user wanted it so.",
        (_DEVICE, _arg("planned", bool, False, True, default=True)),
    )  # fmt: skip
    SEND = (
        5, "device", "A message is invoked; due: when the workload wanted it sent.",
        (_plain("due", Time), _DEVICE, _CONV, _MSG, _HASH),
    )  # fmt: skip
    ACK = 6, "device", "The service took the message and gave it a number.", (_DEVICE, _CONV, _MSG, _SEQ)
    NACK = (
        7, "device", "The service refused the message; definite: it will never appear.",
        (_DEVICE, _CONV, _MSG, _arg("definite", bool, False, True)),
    )  # fmt: skip
    WIRE = 8, "device", "A message arrived, duplicates included.", _COPY
    SHOW = (
        9, "device",
        "A message was displayed to the user; incomplete: marked that something before it is missing, or (sealed) as a "
        "line that cannot be read yet.",
        (*_COPY, _arg("incomplete", bool | Literal["sealed"], False, True, "sealed", default=False)),
    )  # fmt: skip
    FINAL = 10, "read-back", "A message was read back from number 0 on, on a fresh connection at the end.", _COPY
    FINAL_DONE = (
        11, "read-back", "That read-back is complete, up to head.",
        (_DEVICE, _CONV, _plain("head", Seq, column="seq")),
    )  # fmt: skip
    PUSH = (
        12, "told", "A push notification for this number reached the device; content: the hash of what it shows.",
        (_DEVICE, _CONV, _SEQ, Field("content", AnyId | None, "hash", "", (), None)),
    )  # fmt: skip
    PRESENCE = (
        13, "told", "A viewer (a device) is told a user's state; any other state than online and offline is none.",
        (
            _plain("viewer", AnyId, column="device"), _USER,
            _arg("state", str | int | bool, "offline", "online", "unknown"),
        ),
    )  # fmt: skip
    RECEIPT = (
        14, "told", "A device is told that `by` (a user or a device) has everything up to this number.",
        (
            _DEVICE, _CONV, _SEQ, _arg("kind", Literal["delivered", "read"], "delivered", "read"),
            _plain("by", AnyId, column="user", slot="msg"),
        ),
    )  # fmt: skip

    EDIT = (
        15, "device", "A message (`of`) gets another content (hash), under a number of its own.",
        (*_UPON, Field("hash", AnyId | None, "hash", "hash", (), None), _AUTHOR),
    )  # fmt: skip
    DELETE = 16, "device", "A message (`of`) is taken back, under a number of its own.", _UPON
    REACTION = 17, "device", "Somebody reacts to a message (`of`), under a number of its own.", _UPON
    DUE_ONLINE = (
        18, "device", "The device begins to connect: its planned absence is over. Without it, the `online` ends it.",
        (_DEVICE,),
    )  # fmt: skip

    @property
    def label(self) -> str:
        """The name in the JSON line."""
        return self.name.lower()


class Explanation(IntEnum):
    """Kinds that explain and are not judged, for traced messages only. Readers of the history skip them."""

    NOTIFIED = 64  # the NOTIFY that led this device to fetch msg arrived at t; seq: the number in it
    SENT_AGAIN = 65
    MACHINE = 66  # of the process: msg = machine_id(), seq: one message in `seq` is traced


class Line(msgspec.Struct, tag_field="e", gc=False):
    """The fields that every JSON line has."""

    t: Time


def _line(event: Event) -> type[Line]:
    """Return the struct that decodes an event's JSON line."""
    fields = [
        (field.name, field.type) if field.default is msgspec.NODEFAULT else (field.name, field.type, field.default)
        for field in event.fields
    ]
    name, settings = event.label.title().replace("_", ""), {"__doc__": event.meaning}
    made: type[Any] = msgspec.defstruct(
        name, fields, bases=(Line,), namespace=settings, module=__name__, tag=event.label, gc=False
    )
    return made


EVENT_NAMES: Final = tuple(event.label for event in Event)
"""The names of the events in the order of their numbers, which count from 1 without a gap."""
assert [int(event) for event in Event] == list(range(1, len(Event) + 1))
LINES: Final[dict[type[Line], Event]] = {_line(event): event for event in Event}
"""The struct of each event's JSON line."""


def events_with(*, column: str) -> tuple[Event, ...]:
    """Return the events that fill a column of the frame from the binary record."""
    return tuple(event for event in Event if any(field.column == column and field.slot for field in event.fields))


def slot_of(column: str) -> str:
    """Return the slot of the binary record from which a column of the frame is read."""
    (slot,) = {field.slot for event in Event for field in event.fields if field.column == column} - {""}
    return slot


def names_of(*sources: Source) -> Sequence[str]:
    """Return the names of the events from these sources."""
    return [event.label for event in Event if event.source in sources]


def message_id(device: int, client_seq: int) -> int:
    """Return the `msg` of a message: its idempotency key in one i64 (device below 2^31, client_seq below 2^32)."""
    return device << 32 | client_seq
