"""Records a run against another system in the exchange format, and numbers messages where the system does not."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from chaos.targets.target import Message
from load.history.control import Fault, Hole, Meta, Phase, Plan
from load.history.writer import now_ns

MARK: Final = "petrel-"
"""Begin of every text; the message's id follows."""
PLACED: Final = ("ack", "wire", "show", "final")
"""Events of messages with a number."""
Event = dict[str, object]
Told = Meta | Plan | Phase | Fault | Hole


def text_of(msg: int) -> str:
    """Return the text of message `msg`: its id and some more, so that a cut or changed text is noticed."""
    return f"{MARK}{msg} {hashlib.blake2b(str(msg).encode(), digest_size=12).hexdigest()}"


def message_of(text: str) -> int | str:
    """Return the id that a text names; a text that none of ours can be is its own id."""
    word = text.partition(" ")[0].removeprefix(MARK)
    return int(word) if text.startswith(MARK) and word.isdecimal() else text[:80]


def hash_of(text: str) -> int:
    """Return a number for the content."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")


class Record:
    """All events of one run, in memory until `write`."""

    def __init__(self, *, numbered: bool) -> None:
        self._numbered = numbered
        self._events: list[Event] = []
        self._told: list[Told] = []
        self.acked = 0
        self.shown = 0

    def write(self, event: Told) -> None:
        """Add a control line. The engine calls this from its threads."""
        self._told.append(event)

    def event(self, kind: str, **fields: object) -> None:
        """Add an event that happens now."""
        self._events.append({"e": kind, "t": now_ns(), **fields})

    def sent(self, device: str, room: str, msg: int, due_ns: int) -> None:
        """Add a send that begins now."""
        self.event("send", due=due_ns, device=device, conv=room, msg=msg, hash=hash_of(text_of(msg)))

    def acknowledged(self, device: str, room: str, msg: int, number: int) -> None:
        """Add the answer to a send."""
        self.acked += 1
        self.event("ack", device=device, conv=room, msg=msg, seq=number)

    def arrived(self, device: str, message: Message) -> None:
        """Add a message that a client got and shows."""
        self.shown += 1
        for kind in ("wire", "show"):
            self._copy(kind, device, message)

    def read_back(self, device: str, room: str, messages: Sequence[Message]) -> None:
        """Add one room of a device's final reading."""
        for message in messages:
            self._copy("final", device, message)
        head = max((one.number for one in messages), default=0) if self._numbered else len(messages)
        self.event("final_done", device=device, conv=room, head=head)

    def _copy(self, kind: str, device: str, message: Message) -> None:
        self.event(
            kind, device=device, conv=message.room, seq=message.number, msg=message_of(message.text),
            hash=hash_of(message.text),
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Write everything as JSON lines. Raises OSError."""
        events = self._events if self._numbered else list(ranked(self._events))
        encoder = msgspec.json.Encoder()
        with path.open("wb") as file:
            file.writelines(encoder.encode(line) + b"\n" for line in (*self._told, *events))


def ranked(events: Sequence[Event]) -> Iterator[Event]:
    """Yield the events with a number for each message, from 1 in each room: the rank of its id among all ids seen.

    Where a room's messages have no ids, the place in the longest history counts. A message that is in none stands
    behind the one that was new before it: it leaves a hole in the history, as one that was lost.
    """
    by_room: dict[object, list[Event]] = {}
    for event in events:
        if event["e"] in PLACED:
            by_room.setdefault(event["conv"], []).append(event)
    ranked_by: dict[object, tuple[str, dict[object, int]]] = {}
    for room, copies in by_room.items():
        by_id = _by_id(copies)
        ranked_by[room] = ("seq", by_id) if by_id else ("msg", _by_place(copies))
    heads: Counter[tuple[object, object]] = Counter()
    for event in events:
        room, device = event.get("conv"), event.get("device")
        if event["e"] in PLACED:
            key, rank = ranked_by[room]
            number = rank[event[key]]
            if event["e"] == "final":
                heads[room, device] = max(heads[room, device], number)
            yield {**event, "seq": number}
        elif event["e"] == "final_done":
            yield {**event, "head": heads[room, device]}
        else:
            yield event


def _by_id(copies: Sequence[Event]) -> dict[object, int]:
    """Return the rank of each id; {} if one is missing."""
    ids = {number for event in copies if isinstance(number := event["seq"], int)}
    return {} if 0 in ids else {number: rank for rank, number in enumerate(sorted(ids), 1)}


def _by_place(copies: Sequence[Event]) -> dict[object, int]:
    """Return the rank of each message."""
    histories: dict[object, list[object]] = {}
    for event in copies:
        if event["e"] == "final":
            histories.setdefault(event["device"], []).append(event["msg"])
    order = list(dict.fromkeys(sorted(histories.values(), key=len)[-1])) if histories else []
    seen: dict[object, None] = {}
    for event in copies:
        if event["msg"] not in order:
            order.insert(order.index(next(reversed(seen))) + 1 if seen else 0, event["msg"])
        seen.setdefault(event["msg"])
    return {message: rank for rank, message in enumerate(order, 1)}


def members(record: Record, rooms: Mapping[str, Sequence[str]]) -> None:
    """Add who is a member of what, from the creation on. A user has one device, of the same name."""
    for user in dict.fromkeys(user for users in rooms.values() for user in users):
        record.event("device", device=user, user=user)
    for room, users in rooms.items():
        for user in users:
            record.event("member", conv=room, user=user, op="add", seq=0)
