"""Writes large histories of nothing but what is as it must be, in the shape of a run's directory, for `bench verify`.

Messages take turns: one after the other goes to the next conversation. Each is sent, acked, shown on the other members'
devices within some milliseconds, and read back on all.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np

from load.history.events import DTYPE, RECORD_SIZE, Event

SECOND: Final = 1_000_000_000
BEGIN: Final = 1_700_000_000 * SECOND
LENGTH: Final = 600 * SECOND
"""From the first send to the last."""
CONVERSATIONS_OF_EACH: Final = 8
"""Conversations of each device, if there are many."""
CHUNK_EVENTS: Final = 2_000_000
_TYPE: Final = np.dtype(list(DTYPE))


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Conversations of equal size."""

    conversations: int
    members: int
    messages: int
    """Number of messages of each conversation."""

    @property
    def devices(self) -> int:
        return max(self.members, self.conversations * self.members // CONVERSATIONS_OF_EACH)


def groups(events: int) -> Shape:
    """Return about as many events in groups of 10 with 50 messages each."""
    return Shape(conversations=max(1, events // 1523), members=10, messages=50)


def broadcast(events: int) -> Shape:
    """Return about as many events in one conversation that has as many members as messages."""
    size = max(2, round((events / 3) ** 0.5))
    return Shape(conversations=1, members=size, messages=size)


def write(shape: Shape, run_dir: Path) -> int:
    """Write the history of a shape; returns its number of events. Raises OSError."""
    directory = run_dir / "history"
    directory.mkdir(parents=True)
    written = 0
    with (directory / "swarm-1.bin").open("xb") as swarm, (directory / "readback-1.bin").open("xb") as readback:
        for rows in _people(shape):
            written += _append(swarm, rows)
        size = max(1, CHUNK_EVENTS // (3 * shape.members))
        messages = shape.conversations * shape.messages
        for start in range(0, messages, size):
            live, finals = _messages(shape, np.arange(start, min(start + size, messages)))
            written += _append(swarm, live) + _append(readback, finals)
        written += _append(readback, _ends(shape))
    return written


def _members(shape: Shape, conv: np.ndarray) -> np.ndarray:
    """Return the devices of each conversation, a row each."""
    return (conv[:, None] * 7919 + np.arange(shape.members)) % shape.devices


def _people(shape: Shape) -> Iterator[np.ndarray]:
    device, conv = np.arange(shape.devices), np.arange(shape.conversations)
    yield _rows(Event.DEVICE, len(device), t=BEGIN, device=device, msg=device)
    members = _members(shape, conv).ravel()
    yield _rows(Event.MEMBER, len(members), t=BEGIN, conv=np.repeat(conv, shape.members), msg=members, arg=1)
    yield _rows(Event.ONLINE, len(device), t=BEGIN + 1 + device, device=device)


def _messages(shape: Shape, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the events of some messages while the devices run, by time, and their finals."""
    conv, seq = number % shape.conversations, number // shape.conversations + 1
    sent = BEGIN + SECOND + number * (LENGTH // (shape.conversations * shape.messages))
    members = _members(shape, conv)
    sender = members[np.arange(len(number)), number * 31 % shape.members]
    names = {"conv": conv, "msg": sender << 32 | number, "hash": number * 2_654_435_761 + 1}
    place, device = np.repeat(np.arange(len(number)), shape.members), members.ravel()
    copies = {name: column[place] for name, column in {**names, "seq": seq}.items()}
    at_others = device != sender[place]
    others = {name: column[at_others] for name, column in {**copies, "device": device}.items()}
    arrived = sent[place][at_others] + 3_000_000 + others["device"] * 7919 % 1_000_000
    live = np.concatenate(
        [
            _rows(Event.SEND, len(number), t=sent, due=sent, device=sender, **names),
            _rows(Event.ACK, len(number), t=sent + 2_000_000, device=sender, conv=conv, msg=names["msg"], seq=seq),
            _rows(Event.WIRE, len(arrived), t=arrived, **others),
            _rows(Event.SHOW, len(arrived), t=arrived + 50_000, **others),
        ]
    )
    read_ns = BEGIN + LENGTH + 20 * SECOND + number[place]
    finals = _rows(Event.FINAL, len(device), t=read_ns, device=device, **copies)
    return live[np.argsort(live["t"], kind="stable")], finals


def _ends(shape: Shape) -> np.ndarray:
    conv = np.arange(shape.conversations)
    members = _members(shape, conv).ravel()
    done_ns = BEGIN + LENGTH + 40 * SECOND
    convs = np.repeat(conv, shape.members)
    return _rows(Event.FINAL_DONE, len(members), t=done_ns, device=members, conv=convs, seq=shape.messages)


def _rows(event: Event, rows: int, **columns: np.ndarray | int) -> np.ndarray:
    records = np.zeros(rows, _TYPE)
    records["kind"] = int(event)
    for name, values in columns.items():
        records[name] = values
    return records


def _append(file: IO[bytes], records: np.ndarray) -> int:
    """Write the records with their checksums; returns their number."""
    view = memoryview(records.tobytes())
    starts = range(0, len(view), RECORD_SIZE)
    records["crc"] = np.fromiter((zlib.crc32(view[at : at + RECORD_SIZE - 4]) for at in starts), "<u4", len(records))
    file.write(records.tobytes())
    return len(records)
